/* SPDX-License-Identifier: MPL-2.0 */
#include "common/wire/trace.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"

TestSuite(trace, .timeout = 60);

static char directory[32], file[64], path[64];

static void make_place(void)
{
    strcpy(directory, "/tmp/zfarm-trace-XXXXXX");
    cr_assert_not_null(mkdtemp(directory));
    snprintf(file, sizeof file, "%s/t", directory);
    snprintf(path, sizeof path, "%s/t.worker", directory);
}

static void remove_place(void)
{
    unlink(path);
    rmdir(directory);
}

/* The lines of the file from the second on, the first names program and time; as one string. */
static const char *traced(void)
{
    static char text[4096];
    FILE *stream = fopen(path, "r");
    cr_assert_not_null(stream);
    size_t size = fread(text, 1, sizeof text - 1, stream);
    fclose(stream);
    text[size] = '\0';
    cr_assert_eq(strncmp(text, "0.000 -- zfarm-worker, process ", 31), 0, "%s", text);
    return strchr(text, '\n') + 1;
}

static void say(struct trace *t, enum trace_way way, uint64_t number, uint64_t now_ns)
{
    struct buf message = {0};
    wire_begin(&message, KIND_RECALL, (struct frame_head){.session = 9});
    number_put(&message, 5);
    trace_message(t, way, "control", number, buf_bytes(&message), now_ns);
    buf_free(&message);
}

Test(trace, each_message_is_a_line_with_time_way_and_connection, .init = make_place,
     .fini = remove_place)
{
    struct trace t = {0};
    trace_open(&t, file, "worker", 3600 * NS_PER_S);
    say(&t, TRACE_SAID, 0, 3600 * NS_PER_S + 12 * NS_PER_MS);
    say(&t, TRACE_HEARD, 7, 3672 * NS_PER_S);
    cr_assert_str_eq(traced(), "0.012 -> control RECALL 0/0/9 tasks=5\n"
                               "72.000 <- control:7 RECALL 0/0/9 tasks=5\n");
    cr_assert_null(trace_trouble(&t));
    trace_close(&t);
}

Test(trace, a_file_is_appended_to_and_is_for_its_user_alone, .init = make_place,
     .fini = remove_place)
{
    struct stat s;
    for (int i = 0; i < 2; i++) {
        struct trace t = {0};
        trace_open(&t, file, "worker", 0);
        trace_close(&t);
    }
    cr_assert_eq(strncmp(traced(), "0.000 -- zfarm-worker", 21), 0);
    cr_assert_eq(stat(path, &s), 0);
    cr_assert_eq(s.st_mode & 0777, 0600);
}

Test(trace, without_a_file_nothing_is_done)
{
    struct trace t = {0};
    trace_open(&t, NULL, "worker", 0);
    cr_assert_not(t.on);
    say(&t, TRACE_SAID, 0, 0);
    cr_assert_null(trace_trouble(&t));
    trace_close(&t);
}

Test(trace, what_cannot_be_written_ends_the_trace_and_is_told_once, .init = make_place,
     .fini = remove_place)
{
    static const char *const words[] = {
        "cannot write the trace: No space left on device; nothing more is traced",
        "cannot open the trace /nowhere/t.worker: No such file or directory; nothing is traced"};
    cr_assert_eq(symlink("/dev/full", path), 0);
    const char *const files[] = {file, "/nowhere/t"};
    for (size_t i = 0; i < 2; i++) {
        struct trace t = {0};
        trace_open(&t, files[i], "worker", 0);
        cr_assert_not(t.on);
        cr_assert_str_eq(trace_trouble(&t), words[i]);
        cr_assert_null(trace_trouble(&t));
        say(&t, TRACE_SAID, 0, 0);
        trace_close(&t);
    }
}
