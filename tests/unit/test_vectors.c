/* SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "common/wire/print.h"
#include "tests/unit/vectors.h"

/* tests/vectors: what each message is in octets and in JSON, and which octets are none. Each line is made
 * anew from the octets in it, by the codec, and must come out the same. With ZFARM_VECTORS=write in the environment
 * the files are written, from what is listed here. */
TestSuite(vectors, .timeout = 60);

static const struct frame_head head = {.job = 77, .incarnation = 1000, .session = 9};

/* ---- lines ---- */

/* The octets that the text has in hexadecimal digits, up to the first that is none; blanks are passed over. */
static struct buf unhex(const char *text)
{
    struct buf octets = {0};
    unsigned octet;
    for (; *text == ' ' || sscanf(text, "%2x", &octet) == 1; text += *text == ' ' ? 1 : 2)
        if (*text != ' ')
            buf_put_byte(&octets, (uint8_t)octet);
    return octets;
}

static char *read_line(FILE *file, char **line, size_t *capacity)
{
    ssize_t size = getline(line, capacity, file);
    if (size > 0 && (*line)[size - 1] == '\n')
        (*line)[size - 1] = '\0';
    return size < 0 ? NULL : *line;
}

static const char hex_mark[] = "\"hex\":\"";

static FILE *file_to_read(const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", VECTORS, name);
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s: %s", path, strerror(errno));
    return file;
}

typedef void describe_fn(struct buf *to, struct bytes octets);

/* Every line of the file is what `describe` makes of its octets. Returns how many there are. */
static size_t check_file(const char *name, describe_fn *describe)
{
    char *line = NULL;
    size_t capacity = 0, count = 0;
    FILE *file = file_to_read(name);
    for (; read_line(file, &line, &capacity); count++) {
        const char *hex = strstr(line, hex_mark);
        struct buf text = {0};
        cr_assert_not_null(hex, "%s:%zu has no octets", name, count + 1);
        struct buf octets = unhex(hex + strlen(hex_mark));
        describe(&text, buf_bytes(&octets));
        buf_put_byte(&text, '\0');
        cr_expect_str_eq((const char *)text.data, line, "%s:%zu is\n%s\nand not\n%s", name,
                         count + 1, (const char *)text.data, line);
        buf_free(&text);
        buf_free(&octets);
    }
    free(line);
    fclose(file);
    return count;
}

/* ---- the files ---- */

static FILE *file_to_write(const char *name)
{
    char path[4096];
    const char *wish = getenv("ZFARM_VECTORS");
    if (!wish || strcmp(wish, "write") != 0)
        return NULL;
    snprintf(path, sizeof path, "%s/%s", VECTORS, name);
    return fopen(path, "w");
}

/* The message of a line of messages.jsonl in the notation of common/wire/print.h, as a string. */
static void print_vector(struct buf *text, const char *line)
{
    struct buf octets = unhex(strstr(line, hex_mark) + strlen(hex_mark));
    wire_print(text, buf_bytes(&octets));
    buf_put_byte(text, '\0');
    buf_free(&octets);
}

static void write_printed(void)
{
    char *line = NULL;
    size_t capacity = 0;
    FILE *file = file_to_write("printed.txt");
    if (!file)
        return;
    FILE *messages = file_to_read("messages.jsonl");
    while (read_line(messages, &line, &capacity)) {
        struct buf text = {0};
        print_vector(&text, line);
        fprintf(file, "%s\n", (const char *)text.data);
        buf_free(&text);
    }
    free(line);
    fclose(messages);
    fclose(file);
}

static void write_line(FILE *file, describe_fn *describe, struct buf *octets)
{
    struct buf line = {0};
    describe(&line, buf_bytes(octets));
    if (file)
        fprintf(file, "%.*s\n", (int)line.size, (const char *)line.data);
    buf_free(&line);
    buf_free(octets);
}

static void write_message(FILE *file, enum wire_kind kind, const struct layout *layout,
                          const void *m)
{
    struct buf octets = {0};
    wire_begin(&octets, kind, head);
    layout_put(&octets, layout, m);
    write_line(file, vector_message, &octets);
}

#define WRITE(kind, name, ...)                                                                     \
    do {                                                                                           \
        const struct name m = __VA_ARGS__;                                                         \
        write_message(file, kind, &name##_layout, &m);                                             \
    } while (0)

static void write_octets(FILE *file, enum wire_kind kind, const char *body)
{
    struct buf octets = {0}, rest = unhex(body);
    wire_begin(&octets, kind, head);
    buf_put_bytes(&octets, buf_bytes(&rest));
    buf_free(&rest);
    write_line(file, vector_message, &octets);
}

static void write_control(FILE *file)
{
    struct range some[] = {{1, 3}, {7, 7}};
    struct seqset set = {some, 2, 2, 4}, none = {0};
    struct running_attempt running = {5, {1000, 1}};
    struct attempt_list list = {&running, 1, 1}, no_list = {0};
    struct gap gap = {9, 2};
    struct held_task held = {5, 123, bytes_of("sleep 1000")};
    struct arrival arrival = {9, 5, 65536};
    struct session_tasks origin = {9, set};
    struct halt_rule rule = {HALT_SOON, HALT_FAIL, 1, false}, no_rule = {0};
    struct hashed_task hashed = {5, {1, 2}};
    struct cancel_item cancelled = {5, {1000, 1}, 3};
    struct verdict_item judged = {RESULT_LOST, 4, 5, 3, {0}, bytes_of("a, b, c")};
    struct because_item reason = {set, 3, bytes_of("queued")};
    struct admitted_key key = {{{1, 2, 3}}, KEY_WORKER};
    struct peer peer = {42, bytes_of("host:99"), bytes_of("host"), bytes_of("0.1.0"), 99};
    WRITE(KIND_JOIN, worker_join, {peer, 4, 0, {1, 2}, list, set, 0});
    WRITE(KIND_JOIN, worker_join, {peer, 4, WORKER_LEAVING, {1, 2}, no_list, none, 1});
    WRITE(KIND_JOIN, sink_join,
          {peer, 7, 1, 9, {1, 2}, set, 1000, bytes_of("tcp://:5558"), 3, 2, 0, no_rule});
    WRITE(KIND_JOIN, sink_join,
          {peer, 7, 1, 9, {1, 2}, set, 1000, bytes_of("tcp://:5558"), 3, 2, 0, rule});
    WRITE(KIND_HEARTBEAT, heartbeat, {123456789, set, none, NULL, 0, 0, 0});
    WRITE(KIND_HEARTBEAT, heartbeat, {123456789, set, set, &held, 1, 1500, 2});
    WRITE(KIND_CREDIT, credit, {100, 1000000, 4, 0, 0});
    WRITE(KIND_CREDIT, credit, {100, 1000000, 4, 7, 65536});
    WRITE(KIND_CLAIM, token, {{1, 2, 3}});
    WRITE(KIND_HELLO, token, {{1, 2, 3}});
    WRITE(KIND_FINISHED, finished, {set, 1});
    WRITE(KIND_FAILED, attempt_list, {&running, 1, 1});
    WRITE(KIND_RETURNED, returned, {set, RETURNED_INTERRUPTED});
    WRITE(KIND_RETURNED, returned, {none, RETURNED_RECALL});
    WRITE(KIND_STORED, stored_note, {7, set, &gap, 1, STORED_ORDER_FULL, NULL, 0, NULL, 0});
    WRITE(KIND_STORED, stored_note, {7, set, NULL, 0, STORED_NOT_READING, &arrival, 1, &origin, 1});
    WRITE(KIND_CLOSED, closed, {9, 5, 1, 1, 2, 0, 2});
    WRITE(KIND_HALT, halt, {HALT_NOW, 5, 3});
    WRITE(KIND_HASHES, hashes, {5, &hashed, 1, true});
    WRITE(KIND_PROTEST, protest, {9, KIND_RESULTS, 30, bytes_of("a field has no such value")});
    WRITE(
        KIND_WELCOME, worker_welcome,
        {500, 3000, bytes_of("5557"), 3, 7, bytes_of("tcp://h:5558"), {{0}}, set, set, 0, no_rule});
    WRITE(KIND_WELCOME, worker_welcome,
          {500, 3000, bytes_of("5557"), 3, 0, {0}, {{1, 2, 3}}, none, none, 1, rule});
    WRITE(KIND_WELCOME, sink_welcome, {500, 3000, 7, {1, 2}, 0});
    WRITE(KIND_REFUSE, refuse, {REFUSE_FULL, bytes_of("as many as may be")});
    WRITE(KIND_AGAIN, again, {9, AGAIN_OTHER_INCARNATION, bytes_of("join again")});
    WRITE(KIND_CANCEL, cancel, {&cancelled, 1});
    WRITE(KIND_RELEASED, released, {set});
    WRITE(KIND_SINK, sink_news, {7, bytes_of("tcp://h:5558"), {{1, 2, 3}}, 3});
    WRITE(KIND_STOP, stop, {STOP_INTERRUPTED, 5});
    WRITE(KIND_VERDICT, verdict, {&judged, 1});
    WRITE(KIND_STATUS, status, {9, 8, 1, 2, 1, 2, {3, 4}, 6});
    WRITE(KIND_DONE, done, {9, set, 1, 2});
    WRITE(KIND_BECAUSE, because, {&reason, 1});
    WRITE(KIND_ADMITTED, admitted, {&key, 1, 1});
    WRITE(KIND_RECEIVED, received, {5, 65536, RECEIVED_NOT_READING});
    WRITE(KIND_HANDED, session_tasks, {9, set});
    WRITE(KIND_STRANGE, released, {set});
    WRITE(KIND_PIECE, piece, {bytes_of("w"), 6, {1000, 1}, 1, 0, 3, bytes_of("abc")});
}

static void write_batches(FILE *file)
{
    struct bytes args[] = {bytes_of("b"), bytes_of("two words")};
    struct buf tasks = {0}, records = {0}, results = {0};
    struct result full = {.final = true,
                          .status = RESULT_EXITED,
                          .code = 3,
                          .start_us = 1,
                          .duration_ns = 2,
                          .out = bytes_of("out"),
                          .err = bytes_of("err"),
                          .command = bytes_of("c a"),
                          .has_hash = true,
                          .hash = {1, 2},
                          .cut = true,
                          .cut_pid = 300};
    struct result ok = {.final = true, .out = bytes_of("1")},
                  history = {.status = RESULT_SIGNALED, .code = 9};
    task_put_line(&records, bytes_of("a line"));
    task_put_args(&records, args, 2);
    wire_begin(&tasks, KIND_TASKS, head);
    tasks_begin(&tasks, 1);
    task_run_put(&tasks, &(struct task_run){1, 2, 1, 1, TASK_LAST, {0}, buf_bytes(&records)});
    task_run_put(&tasks, &(struct task_run){3, 1, 1, 1, TASK_PIECES, {0}, {0}});
    write_line(file, vector_message, &tasks);
    wire_begin(&results, KIND_RESULTS, head);
    results_begin(&results, &(struct results_head){1, 1, bytes_of("host:99")});
    full.task = (struct bytes){(const uint8_t *)"\x0c"
                                                "a line",
                               7};
    buf_clear(&records);
    result_put(&records, &full);
    result_put(&records, &ok);
    result_put(&records, &history);
    result_run_put(&results, &(struct result_run){1, 3, {1000, 1}, 1, buf_bytes(&records)});
    write_line(file, vector_message, &results);
    buf_free(&records);
}

static void write_numbers(FILE *file)
{
    static const enum wire_kind kinds[] = {KIND_RECALL, KIND_RESEND, KIND_ENDED, KIND_CHECK,
                                           KIND_END};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        write_octets(file, kinds[i], "ac02");
    write_octets(file, KIND_LEAVE, "61736b656420746f206c65617665");
    write_octets(file, KIND_BYE, "");
    write_octets(file, KIND_WHY, "");
}

/* They are read, and written otherwise: numbers that are padded, tags that nobody knows. */
static void write_lenient(FILE *file)
{
    write_octets(file, KIND_RECALL, "ac8200");
    write_octets(file, KIND_CREDIT, "64 c0843d 04 01 63 02 6162");
    write_octets(file, KIND_FINISHED, "02 01 02 01 00 00");
    write_octets(file, KIND_TASKS, "01 01 01 01 01 08 04 01 63 01 ff 03 04 6162");
    write_octets(file, KIND_RESULTS,
                 "01 01 01 77 01 01 00000000000003e8 01 01 06 81 03 01 09 00 00");
}

static void write_malformed(FILE *file)
{
    static const struct {
        enum wire_kind kind;
        const char *body;
    } bad[] = {
        {KIND_RECALL, ""},
        {KIND_RECALL, "ac"},
        {KIND_RECALL, "ac0200"},
        {KIND_RECALL, "ffffffffffffffffff02"}, /* more than 64 bits */
        {KIND_CREDIT, "64 c0843d 04"},         /* no tags: as in zfarm/1 */
        {KIND_CREDIT, "64 c0843d 04 02 63 00 63 00"},
        {KIND_CREDIT, "64 c0843d 04 02 63 00 62 00"},
        {KIND_CREDIT, "64 c0843d 04 01 00 00"},
        {KIND_CREDIT, "64 c0843d 04 01 01 01 07"},
        {KIND_CREDIT, "64 c0843d 04 01 63 02 61"},
        {KIND_FINISHED, "01 00 00 00"}, /* a gap of 0 */
        {KIND_FINISHED, "02 01 02 00 00 00"},
        {KIND_FINISHED, "ffffffffffffffffff01 01 00 00"}, /* so many ranges */
        {KIND_RETURNED, "00 04"},
        {KIND_JOIN, "03"},
        {KIND_JOIN, ""},
        {KIND_HALT, "03 05 03"},
        {KIND_CLAIM, "010203"},
        {KIND_VERDICT, "01 01 04 05 03 00 00"},
        {KIND_TASKS, "01 00 01 01 01 00 03 04 6162"},    /* task 0 */
        {KIND_TASKS, "01 01 02 01 01 00 03 04 6162"},    /* two tasks, one record */
        {KIND_TASKS, "01 01 01 01 01 00 04 04 6162 00"}, /* octets behind the record */
        {KIND_TASKS, "01 01 01 01 01 08 00 03 04 6162"}, /* an empty tagged part */
        {KIND_RESULTS, "01 01 01 77 00 01 00000000000003e8 01 01 02 01 00"}, /* task 0 */
        {KIND_RESULTS,
         "01 01 01 77 01 01 00000000000003e8 01 01 02 01 00 00"}, /* an octet behind */
        {KIND_RESULTS,
         "01 01 01 77 01 01 00000000000003e8 01 01 04 03 09 00 00"},   /* no such status */
        {KIND_PIECE, "01 77 06 00000000000003e8 01 01 02 03 02 6162"}, /* beyond its total */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        write_octets(file, bad[i].kind, bad[i].body);
    static const char *const frames[] = {
        "",
        "03",
        "0302",
        "c802 000000000000004d 00000000000003e8 0000000000000009",
        "0301 000000000000004d 00000000000003e8 0000000000000009 64c0843d04",
        "1002 000000000000004d 00000000000003e8 0000000000000009",
        "0302 000000000000004d 00000000000003e8 00000000000000"};
    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++) {
        struct buf octets = unhex(frames[i]);
        write_line(file, vector_message, &octets);
    }
}

static void write_tasks(FILE *file)
{
    static const char *const words[][4] = {{""},       {"a"},    {"a line"},
                                           {"a", "b"}, {"", ""}, {"two words", "", "x"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        struct bytes args[4];
        struct buf record = {0};
        size_t count = 0;
        for (; count < 4 && words[i][count]; count++)
            args[count] = bytes_of(words[i][count]);
        task_put_args(&record, args, count);
        write_line(file, vector_task, &record);
    }
    struct bytes one = {(const uint8_t *)"\xff\0 ", 3};
    struct buf record = {0};
    task_put_line(&record, one);
    write_line(file, vector_task, &record);
}

static void write_file(const char *name, void (*first)(FILE *), void (*second)(FILE *),
                       void (*third)(FILE *))
{
    FILE *file = file_to_write(name);
    if (!file)
        return;
    first(file);
    if (second)
        second(file);
    if (third)
        third(file);
    fclose(file);
}

Test(vectors, each_message_is_what_its_json_says_and_is_written_again_as_it_was)
{
    write_file("messages.jsonl", write_control, write_batches, write_numbers);
    cr_assert_geq(check_file("messages.jsonl", vector_message), 40);
}

/* The lines of printed.txt belong to those of messages.jsonl, as many as there are. */
Test(vectors, each_message_is_printed_as_it_is_written_there)
{
    write_printed();
    char *line = NULL, *expected = NULL;
    size_t capacity = 0, expected_capacity = 0, count = 0;
    FILE *messages = file_to_read("messages.jsonl"), *printed = file_to_read("printed.txt");
    for (; read_line(messages, &line, &capacity); count++) {
        struct buf text = {0};
        print_vector(&text, line);
        cr_assert_not_null(read_line(printed, &expected, &expected_capacity), "line %zu is missing",
                           count + 1);
        cr_expect_str_eq((const char *)text.data, expected, "line %zu", count + 1);
        buf_free(&text);
    }
    cr_assert_null(read_line(printed, &expected, &expected_capacity));
    cr_assert_geq(count, 40);
    free(line);
    free(expected);
    fclose(messages);
    fclose(printed);
}

Test(vectors, what_may_be_written_otherwise_is_read)
{
    write_file("lenient.jsonl", write_lenient, NULL, NULL);
    cr_assert_geq(check_file("lenient.jsonl", vector_message), 5);
}

Test(vectors, what_is_malformed_is_refused_for_the_reason_that_is_named)
{
    write_file("malformed.jsonl", write_malformed, NULL, NULL);
    cr_assert_geq(check_file("malformed.jsonl", vector_message), 25);
}

Test(vectors, tasks_have_the_hashes_that_are_named)
{
    write_file("tasks.jsonl", write_tasks, NULL, NULL);
    cr_assert_geq(check_file("tasks.jsonl", vector_task), 7);
}

/* ---- the example session of docs/protocol.md ---- */

/* Its messages begin at the left margin with their names; the octets stand on lines that are indented. */
Test(vectors, the_example_session_of_the_protocol_is_made_of_messages)
{
    char *line = NULL;
    size_t capacity = 0, count = 0;
    FILE *file = fopen(PROTOCOL, "r");
    cr_assert_not_null(file, "%s: %s", PROTOCOL, strerror(errno));
    while (read_line(file, &line, &capacity) && strncmp(line, "## 16.", 6) != 0)
        ;
    char name[32] = "";
    struct buf message = {0};
    do {
        bool begins = strncmp(line, "   ", 3) != 0;
        if (begins && message.size) {
            struct buf text = {0};
            vector_message(&text, buf_bytes(&message));
            buf_put_byte(&text, '\0');
            cr_expect_null(strstr((char *)text.data, "\"error\""), "%s: %s", name,
                           (char *)text.data);
            cr_expect_null(strstr((char *)text.data, "\"written\""), "%s: %s", name,
                           (char *)text.data);
            cr_expect_str_eq(wire_kind_name(message.data[0]), name);
            buf_free(&text);
            buf_clear(&message);
            count++;
        }
        if (begins) {
            sscanf(line, "%31[A-Z]", name);
        } else {
            char *words = strstr(line + 3, "  ");
            if (words)
                *words = '\0';
            struct buf octets = unhex(line + 3);
            buf_put_bytes(&message, buf_bytes(&octets));
            buf_free(&octets);
        }
    } while (read_line(file, &line, &capacity) && strncmp(line, "## 17.", 6) != 0);
    cr_assert_geq(count, 12);
    buf_free(&message);
    free(line);
    fclose(file);
}
