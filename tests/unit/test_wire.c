/* SPDX-License-Identifier: MPL-2.0 */
#include "common/base/varint.h"
#include "tests/unit/wire_messages.h"

TestSuite(wire, .timeout = 60);

static struct buf encode_random(const struct layout *message, union decoded *m, uint64_t *seed)
{
    struct buf body = {0};
    cr_assert_leq(message->size, sizeof *m);
    *m = (union decoded){0};
    fill(m->bytes, message->fields, seed);
    make_valid(message, m);
    layout_put(&body, message, m);
    return body;
}

/* Its last field is all that is left: there is nothing to cut, and nothing behind it. */
static bool has_any_size(const struct layout *message)
{
    return message->fields->name && message->fields->kind == FIELD_REST;
}

/* From memory of exactly that size, so that a sanitizer sees a read behind its end. */
static enum error take_exact(const struct layout *message, const uint8_t *data, size_t size)
{
    union decoded m;
    uint8_t *exact = xmalloc(size);
    if (size)
        memcpy(exact, data, size);
    enum error error = decoded_take(&m, message, (struct bytes){exact, size});
    layout_free(message, &m);
    free(exact);
    return error;
}

Test(wire, every_message_comes_out_as_it_went_in)
{
    struct message_list messages = all_messages();
    for (size_t i = 0; i < messages.count; i++) {
        const struct layout *message = messages.layouts[i];
        for (uint64_t round = 1; round <= 300; round++) {
            union decoded in, out;
            uint64_t seed = round;
            struct buf body = encode_random(message, &in, &seed);
            cr_assert_eq(decoded_take(&out, message, buf_bytes(&body)), ERR_NONE, "%s, seed %d",
                         message->name, (int)round);
            cr_assert(same(in.bytes, out.bytes, message->fields), "%s, seed %d", message->name,
                      (int)round);
            layout_free(message, &in);
            layout_free(message, &out);
            buf_free(&body);
        }
    }
}

Test(wire, a_message_that_is_cut_at_any_length_is_an_error)
{
    struct message_list messages = all_messages();
    for (size_t i = 0; i < messages.count; i++) {
        const struct layout *message = messages.layouts[i];
        for (uint64_t round = 1; round <= 20; round++) {
            union decoded in;
            uint64_t seed = round;
            struct buf body = encode_random(message, &in, &seed);
            for (size_t size = 0; size < body.size && !has_any_size(message); size++)
                cr_assert_neq(take_exact(message, body.data, size), ERR_NONE, "%s at %zu of %zu",
                              message->name, size, body.size);
            layout_free(message, &in);
            buf_free(&body);
        }
    }
}

Test(wire, bytes_behind_a_message_are_an_error)
{
    struct message_list messages = all_messages();
    for (size_t i = 0; i < messages.count; i++) {
        union decoded in;
        uint64_t seed = 7;
        struct buf body = encode_random(messages.layouts[i], &in, &seed);
        buf_put_byte(&body, 0);
        cr_assert_eq(take_exact(messages.layouts[i], body.data, body.size),
                     has_any_size(messages.layouts[i]) ? ERR_NONE : ERR_TRAILING, "%s",
                     messages.layouts[i]->name);
        layout_free(messages.layouts[i], &in);
        buf_free(&body);
    }
}

Test(wire, a_message_with_any_octet_changed_breaks_nothing)
{
    struct message_list messages = all_messages();
    for (size_t i = 0; i < messages.count; i++) {
        for (uint64_t round = 1; round <= 20; round++) {
            union decoded in;
            uint64_t seed = round;
            struct buf body = encode_random(messages.layouts[i], &in, &seed);
            for (size_t at = 0; at < body.size; at++) {
                uint8_t before = body.data[at];
                body.data[at] = (uint8_t)random_next(&seed);
                take_exact(messages.layouts[i], body.data, body.size);
                body.data[at] = 0xff;
                take_exact(messages.layouts[i], body.data, body.size);
                body.data[at] = before;
            }
            layout_free(messages.layouts[i], &in);
            buf_free(&body);
        }
    }
}

/* A count of more items than there are bytes is refused before memory is taken for them. */
Test(wire, counts_that_lie_are_refused)
{
    static const char *const begin_with_a_count[] = {"finished", "attempt_list", "returned",
                                                     "cancel",   "released",     "verdict"};
    struct message_list messages = all_messages();
    for (size_t i = 0; i < messages.count; i++) {
        bool counts = false;
        for (size_t j = 0; j < sizeof begin_with_a_count / sizeof *begin_with_a_count; j++)
            counts = counts || strcmp(messages.layouts[i]->name, begin_with_a_count[j]) == 0;
        if (!counts)
            continue;
        struct buf body = {0};
        varint_put(&body, UINT64_MAX);
        buf_put(&body, "\1\1\1\1\1\1\1\1\1\1\1\1", 12);
        cr_assert_eq(take_exact(messages.layouts[i], body.data, body.size), ERR_TRUNCATED, "%s",
                     messages.layouts[i]->name);
        body.data[9] = 0x7f; /* a number that does not fit 64 bits */
        cr_assert_neq(take_exact(messages.layouts[i], body.data, body.size), ERR_NONE);
        buf_free(&body);
    }
}

Test(wire, ranges_must_grow_and_stay_below_the_largest_number)
{
    static const struct {
        uint64_t count, gap, more, gap2, more2;
        enum error error;
    } cases[] = {
        {1, 0, 0, 0, 0, ERR_MALFORMED},
        {1, UINT64_MAX, 0, 0, 0, ERR_MALFORMED},
        {1, UINT64_MAX - 1, 0, 0, 0, ERR_NONE},
        {1, UINT64_MAX - 1, 1, 0, 0, ERR_MALFORMED},
        {1, 1, UINT64_MAX, 0, 0, ERR_MALFORMED},
        {1, 1, UINT64_MAX - 2, 0, 0, ERR_NONE},
        {2, 1, 5, 0, 3, ERR_MALFORMED},
        {2, 1, 5, 1, 3, ERR_NONE}, /* they touch: one range */
        {2, 5, UINT64_MAX - 10, 10, 0, ERR_MALFORMED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf body = {0};
        struct released m = {0};
        varint_put(&body, cases[i].count);
        varint_put(&body, cases[i].gap);
        varint_put(&body, cases[i].more);
        if (cases[i].count == 2) {
            varint_put(&body, cases[i].gap2);
            varint_put(&body, cases[i].more2);
        }
        cr_assert_eq(released_take(buf_bytes(&body), &m), cases[i].error, "case %zu", i);
        released_free(&m);
        buf_free(&body);
    }
}

Test(wire, one_number_is_one_number)
{
    static const uint64_t numbers[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_MAX};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct buf body = {0};
        uint64_t out;
        number_put(&body, numbers[i]);
        cr_assert_eq(number_take(buf_bytes(&body), &out), ERR_NONE);
        cr_assert_eq(out, numbers[i]);
        for (size_t size = 0; size < body.size; size++)
            cr_assert_eq(number_take((struct bytes){body.data, size}, &out), ERR_TRUNCATED);
        buf_put_byte(&body, 1);
        cr_assert_eq(number_take(buf_bytes(&body), &out), ERR_TRAILING);
        buf_free(&body);
    }
}

Test(wire, padded_numbers_are_the_same_numbers)
{
    for (uint64_t seed = 1, i = 0; i < 1000; i++) {
        uint64_t number = random_number(&seed), out;
        uint8_t padded[VARINT_SIZE_MAX];
        const uint8_t *at = padded;
        varint_write_padded(padded, number, VARINT_SIZE_MAX);
        cr_assert(varint_take(&at, padded + VARINT_SIZE_MAX, &out));
        cr_assert_eq(out, number);
        cr_assert_eq(at, padded + VARINT_SIZE_MAX);
    }
}

/* ---- frames ---- */

static struct buf frame(enum wire_kind kind)
{
    struct buf message = {0};
    wire_begin(&message, kind, (struct frame_head){.job = 1, .incarnation = 2, .session = 3});
    return message;
}

Test(wire, a_frame_has_its_head_and_its_body)
{
    struct buf message = frame(KIND_RESULTS);
    struct frame_head head;
    struct bytes body;
    cr_assert_eq(message.size, FRAME_HEAD_SIZE);
    buf_put_text(&message, "body");
    cr_assert_eq(frame_take(buf_bytes(&message), &head, &body), ERR_NONE);
    cr_assert(head.kind == KIND_RESULTS && head.job == 1 && head.incarnation == 2 &&
              head.session == 3);
    cr_assert(bytes_equal(body, bytes_of("body")));
    for (size_t size = 0; size < FRAME_HEAD_SIZE; size++) {
        uint8_t *exact = xmalloc(size);
        if (size)
            memcpy(exact, message.data, size);
        cr_assert_eq(frame_take((struct bytes){exact, size}, &head, &body), ERR_TRUNCATED);
        free(exact);
    }
    buf_free(&message);
}

Test(wire, kind_version_and_size_of_a_frame_are_checked)
{
    struct buf message = frame(KIND_JOIN);
    struct frame_head head;
    struct bytes body;
    message.data[1] = WIRE_VERSION + 1;
    cr_assert_eq(frame_take(buf_bytes(&message), &head, &body), ERR_VERSION);
    cr_assert_eq(head.kind, KIND_JOIN, "it may be believed, for the answer");
    message.data[0] = 200;
    cr_assert_eq(frame_take(buf_bytes(&message), &head, &body), ERR_KIND);
    struct bytes large = {message.data, FRAME_MAX + 1};
    cr_assert_eq(frame_take(large, &head, &body), ERR_TOO_LARGE);
    buf_free(&message);
}

Test(wire, every_kind_has_a_name_and_is_taken)
{
#define X(name, code) #name,
    static const char *const names[] = {WIRE_KIND_LIST(X)};
#undef X
#define X(name, code) name,
    static const enum wire_kind kinds[] = {WIRE_KIND_LIST(X)};
#undef X
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct buf message = frame(kinds[i]);
        struct frame_head head;
        struct bytes body;
        cr_assert_str_eq(wire_kind_name(kinds[i]), names[i] + strlen("KIND_"));
        cr_assert_eq(frame_take(buf_bytes(&message), &head, &body), ERR_NONE);
        cr_assert_eq(head.kind, kinds[i]);
        buf_free(&message);
    }
    cr_assert_str_eq(wire_kind_name(0), "?");
    cr_assert_str_eq(wire_kind_name(255), "?");
}

Test(wire, a_join_says_who_joins)
{
    enum wire_role role;
    cr_assert_eq(join_role(bytes_of("\1rest"), &role), ERR_NONE);
    cr_assert_eq(role, ROLE_WORKER);
    cr_assert_eq(join_role(bytes_of("\2"), &role), ERR_NONE);
    cr_assert_eq(role, ROLE_SINK);
    cr_assert_eq(join_role(bytes_of("\3"), &role), ERR_MALFORMED);
    cr_assert_eq(join_role((struct bytes){0}, &role), ERR_TRUNCATED);
    struct sink_join sink = {0};
    struct buf body = {0};
    struct worker_join worker = {0};
    sink_join_put(&body, &sink);
    cr_assert_eq(worker_join_take(buf_bytes(&body), &worker), ERR_MALFORMED);
    worker_join_free(&worker);
    buf_free(&body);
}

/* ---- tagged parts ---- */

/* A message with nothing in it but the given tags, instead of the 0 that it ends in. */
static enum error take_tagged(const char *name, const char *tags, size_t size)
{
    struct message_list messages = all_messages();
    size_t i = 0;
    while (strcmp(messages.layouts[i]->name, name) != 0)
        i++;
    const struct layout *message = messages.layouts[i];
    union decoded empty = {0};
    struct buf body = {0};
    layout_put(&body, message, &empty);
    cr_assert_eq(body.data[body.size - 1], 0);
    body.size--;
    buf_put(&body, tags, size);
    enum error error = take_exact(message, body.data, body.size);
    buf_free(&body);
    return error;
}

static const char *const with_tags[] = {"worker_join", "sink_join",      "heartbeat",   "credit",
                                        "stored_note", "worker_welcome", "sink_welcome"};

Test(wire, tags_that_are_not_known_are_skipped)
{
    for (size_t i = 0; i < sizeof with_tags / sizeof *with_tags; i++) {
        cr_assert_eq(take_tagged(with_tags[i], "\1\x63\2ab", 5), ERR_NONE, "%s", with_tags[i]);
        cr_assert_eq(take_tagged(with_tags[i], "\2\x62\0\xff\1\0", 6), ERR_NONE);
    }
}

Test(wire, tags_that_make_no_sense_are_refused)
{
    static const struct {
        const char *octets;
        size_t size;
        enum error error;
    } cases[] = {
        {"\2\x63\0\x63\0", 5, ERR_MALFORMED}, /* twice */
        {"\2\x63\0\x62\0", 5, ERR_MALFORMED}, /* not in growing order */
        {"\1\0\0", 3, ERR_MALFORMED},         /* no tag is 0 */
        {"\2\x63\0", 3, ERR_TRUNCATED},
        {"\1\x63\2a", 4, ERR_TRUNCATED},
        {"\1\x63\1ab", 5, ERR_TRAILING},
        {"\1\1\0", 3, ERR_MALFORMED},         /* tag 1 is known, and never empty */
        {"\1\1\4\1\1\1\1", 7, ERR_MALFORMED}, /* nor so long, or short */
    };
    for (size_t i = 0; i < sizeof with_tags / sizeof *with_tags; i++)
        for (size_t j = 0; j < sizeof cases / sizeof *cases; j++)
            cr_assert_eq(take_tagged(with_tags[i], cases[j].octets, cases[j].size), cases[j].error,
                         "%s, case %zu", with_tags[i], j);
}

Test(wire, a_heartbeat_names_at_most_16_tasks_whose_output_is_held)
{
    struct held_task held[HELD_MAX + 1];
    for (size_t i = 0; i <= HELD_MAX; i++)
        held[i] = (struct held_task){i + 1, 7, bytes_of("sleep")};
    for (size_t count = HELD_MAX; count <= HELD_MAX + 1; count++) {
        struct heartbeat in = {.held = held, .held_count = count}, out = {0};
        struct buf body = {0};
        heartbeat_put(&body, &in);
        cr_assert_eq(heartbeat_take(buf_bytes(&body), &out),
                     count > HELD_MAX ? ERR_MALFORMED : ERR_NONE);
        heartbeat_free(&out);
        buf_free(&body);
    }
}

Test(wire, a_list_whose_items_have_another_owner_is_freed_without_them)
{
    struct hashed_task items[] = {{1, {1, 2}}, {2, {3, 4}}};
    struct buf body = {0};
    struct hashes m = {0};
    hashes_put(&body, &(struct hashes){.from = 1, .items = items, .count = 2});
    cr_assert_eq(hashes_take(buf_bytes(&body), &m), ERR_NONE);
    struct hashed_task *taken = m.items;
    m.items = NULL;
    hashes_free(&m);
    cr_assert_eq(m.count, 0);
    cr_assert_eq(taken[1].hash.high, 3);
    free(taken);
    buf_free(&body);
}

Test(wire, a_halt_rule_that_makes_no_sense_is_refused)
{
    static const struct halt_rule rules[] = {{HALT_SOON, HALT_FAIL, 0, false},
                                             {(enum halt_when)3, HALT_FAIL, 1, false},
                                             {HALT_NOW, (enum halt_why)3, 1, false}};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        struct worker_welcome in = {.halt = rules[i]}, out = {0};
        struct buf body = {0};
        worker_welcome_put(&body, &in);
        cr_assert_eq(worker_welcome_take(buf_bytes(&body), &out), ERR_MALFORMED, "rule %zu", i);
        worker_welcome_free(&out);
        buf_free(&body);
    }
}

Test(wire, kinds_that_are_reserved_are_not_known)
{
    static const uint8_t reserved[] = {16, 38, 51};
    for (size_t i = 0; i < sizeof reserved; i++) {
        struct buf message = frame(KIND_JOIN);
        struct frame_head head;
        struct bytes body;
        message.data[0] = reserved[i];
        cr_assert_eq(frame_take(buf_bytes(&message), &head, &body), ERR_KIND);
        buf_free(&message);
    }
}

Test(wire, values_that_the_protocol_does_not_know_are_refused)
{
    struct returned returned = {0};
    cr_assert_eq(returned_take((struct bytes){(const uint8_t *)"\0\4", 2}, &returned),
                 ERR_MALFORMED);
    struct verdict verdict = {0};
    struct verdict_item item = {.status = RESULT_EXITED, .first = 1, .last = 1};
    struct buf body = {0};
    verdict_put(&body, &(struct verdict){&item, 1});
    cr_assert_eq(verdict_take(buf_bytes(&body), &verdict), ERR_MALFORMED);
    verdict_free(&verdict);
    buf_clear(&body);
    item = (struct verdict_item){.status = RESULT_LOST, .first = 2, .last = 1};
    verdict_put(&body, &(struct verdict){&item, 1});
    cr_assert_eq(verdict_take(buf_bytes(&body), &verdict), ERR_MALFORMED);
    verdict_free(&verdict);
    buf_clear(&body);
    struct piece piece = {.seq = 1, .offset = 5, .total = 7, .content = bytes_of("abc")};
    piece_put(&body, &piece);
    cr_assert_eq(piece_take(buf_bytes(&body), &piece), ERR_MALFORMED);
    buf_free(&body);
}
