/* SPDX-License-Identifier: MPL-2.0 */
#include "common/wire/print.h"
#include <stdio.h>

#include "tests/unit/wire_messages.h"

/* What a message looks like in a line. tests/vectors/printed.txt has that of each vector: test_vectors.c. */
TestSuite(print, .timeout = 60);

static const struct frame_head head = {.job = 77, .incarnation = 1000, .session = 9};

static const char *printed(struct buf *message)
{
    static char text[8192];
    struct buf line = {0};
    wire_print(&line, buf_bytes(message));
    cr_assert_lt(line.size, sizeof text);
    memcpy(text, line.data, line.size);
    text[line.size] = '\0';
    buf_free(&line);
    buf_free(message);
    return text;
}

static struct buf begun(enum wire_kind kind)
{
    struct buf message = {0};
    wire_begin(&message, kind, head);
    return message;
}

/* ` name=` of each field, and of those in structs; not of items, for lists may be empty. */
static void expect_names(const char *line, const struct field *fields, const void *m,
                         const char *prefix)
{
    for (const struct field *f = fields; f->name; f++) {
        char name[128];
        snprintf(name, sizeof name, "%s%s%s", prefix, f->name, f->kind == FIELD_STRUCT ? "." : "=");
        if (f->tag && field_is_none(f, m))
            continue;
        cr_expect_not_null(strstr(line, name), "no %s in %s", name, line);
        if (f->kind == FIELD_STRUCT)
            expect_names(line, f->fields, (const uint8_t *)m + f->offset, name);
    }
}

Test(print, each_field_of_each_message_is_in_its_line)
{
    struct message_list messages = all_messages();
    cr_assert_geq(messages.count, 30);
    for (size_t i = 0; i < messages.count; i++)
        for (uint64_t seed = 1; seed < 20; seed++) {
            const struct layout *layout = messages.layouts[i];
            union decoded m = {0};
            struct buf line = {0}, body = {0};
            uint64_t random = seed;
            fill(m.bytes, layout->fields, &random);
            make_valid(layout, &m);
            layout_put(&body, layout, &m);
            enum wire_kind kind = kind_of(layout, buf_bytes(&body));
            wire_print_body(&line, kind, buf_bytes(&body));
            cr_expect_null(memchr(line.data, '\n', line.size));
            buf_put_byte(&line, '\0');
            cr_expect_eq(
                strncmp((char *)line.data, wire_kind_name(kind), strlen(wire_kind_name(kind))), 0);
            expect_names((char *)line.data, layout->fields, &m, "");
            layout_free(layout, &m);
            buf_free(&line);
            buf_free(&body);
        }
}

Test(print, texts_of_peers_are_quoted_and_move_no_cursor)
{
    struct buf message = begun(KIND_LEAVE);
    leave_put(&message, &(struct leave){bytes_of("a \"b\" \\ \x1b[2J\nDONE\x7f")});
    cr_assert_str_eq(printed(&message), "LEAVE 77/1000/9 text=\"a \\\"b\\\" \\\\ ?[2J DONE?\"");
}

Test(print, what_is_long_is_counted)
{
    struct released m = {0};
    struct buf message = begun(KIND_RELEASED), long_text = {0};
    for (uint64_t seq = 1; seq < 41; seq += 2)
        seqset_add(&m.tasks, seq, seq);
    released_put(&message, &m);
    released_free(&m);
    cr_assert_str_eq(printed(&message),
                     "RELEASED 77/1000/9 "
                     "tasks=1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31+(4 ranges)");
    struct attempt_list list = {0};
    for (uint64_t seq = 1; seq < 41; seq++)
        attempt_list_add(&list, seq, (struct attempt){1000, 1});
    message = begun(KIND_FAILED);
    attempt_list_put(&message, &list);
    attempt_list_free(&list);
    const char *line = printed(&message);
    cr_assert_not_null(strstr(line, "items={seq=1 attempt=1000/1},{seq=2 "));
    cr_assert_str_eq(line + strlen(line) - strlen("},{seq=16 attempt=1000/1}+(24 items)"),
                     "},{seq=16 attempt=1000/1}+(24 items)");
    for (int i = 0; i < 1000; i++)
        buf_put_byte(&long_text, 'a');
    message = begun(KIND_LEAVE);
    leave_put(&message, &(struct leave){buf_bytes(&long_text)});
    buf_free(&long_text);
    line = printed(&message);
    cr_assert_lt(strlen(line), 300);
    cr_assert_not_null(strstr(line, "a\"+(800 octets)"));
}

/* No three of its octets, nor their digits. */
static void expect_secret(struct buf *message, const uint8_t *octets, size_t size)
{
    enum { PART = 3 };
    const char *line = printed(message);
    char digits[2 * PART + 1];
    for (size_t i = 0; i + PART <= size; i++) {
        snprintf(digits, sizeof digits, "%02x%02x%02x", octets[i], octets[i + 1], octets[i + 2]);
        cr_expect_null(strcasestr(line, digits), "%s in %s", digits, line);
        cr_expect_null(memmem(line, strlen(line), octets + i, PART));
    }
}

Test(print, tokens_keys_tasks_and_output_are_never_shown)
{
    struct key key;
    struct token token;
    memset(key.octets, 0xab, sizeof key.octets);
    memset(token.octets, 0xcd, sizeof token.octets);
    struct buf message = begun(KIND_CLAIM);
    token_put(&message, &token);
    expect_secret(&message, token.octets, TOKEN_SIZE);
    message = begun(KIND_HELLO);
    token_put(&message, &token);
    expect_secret(&message, token.octets, TOKEN_SIZE);
    message = begun(KIND_WELCOME);
    worker_welcome_put(&message, &(struct worker_welcome){.sink = key});
    expect_secret(&message, key.octets, KEY_SIZE);
    message = begun(KIND_SINK);
    sink_news_put(&message, &(struct sink_news){.sink = key});
    expect_secret(&message, key.octets, KEY_SIZE);
    struct admitted_key admitted = {key, KEY_WORKER};
    message = begun(KIND_ADMITTED);
    admitted_put(&message, &(struct admitted){&admitted, 1, 1});
    expect_secret(&message, key.octets, KEY_SIZE);
    struct verdict_item item = {RESULT_LOST, 1, 1, 3, bytes_of("xyzzy"), bytes_of("w")};
    message = begun(KIND_VERDICT);
    verdict_put(&message, &(struct verdict){&item, 1});
    expect_secret(&message, (const uint8_t *)"xyzzy", 5);
    message = begun(KIND_PIECE);
    piece_put(&message, &(struct piece){.seq = 1, .total = 5, .content = bytes_of("xyzzy")});
    expect_secret(&message, (const uint8_t *)"xyzzy", 5);
}

Test(print, what_is_no_message_is_said_to_be_none)
{
    struct buf message = begun(KIND_CREDIT);
    buf_put_byte(&message, 0x80);
    cr_assert_str_eq(printed(&message),
                     "CREDIT 77/1000/9 "
                     "(1 octets that make no sense: the message ends in the middle of a field)");
    message = begun(KIND_JOIN);
    buf_put_byte(&message, 3);
    cr_assert_not_null(strstr(printed(&message), "JOIN 77/1000/9 (1 octets that make no sense"));
    buf_put(&message, "\xc8\x02", 2);
    cr_assert_str_eq(printed(&message), "? (2 octets that are no message: the message is of a kind "
                                        "that this program does not take)");
    cr_assert_str_eq(printed(&message),
                     "? (0 octets that are no message: the message ends in the middle of a field)");
}
