/* SPDX-License-Identifier: MPL-2.0 */
#include "common/input/source.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/xalloc.h"
#include "common/input/combine.h"

/* Each test runs in a process and a temporary directory of its own, with a pipe as standard input.
 */
static char directory[] = "/tmp/zfarm-test-XXXXXX";
static int to_stdin; /* the writing end */

static void enter(void)
{
    int ends[2];
    cr_assert(mkdtemp(directory) && chdir(directory) == 0 && pipe(ends) == 0);
    dup2(ends[0], STDIN_FILENO);
    close(ends[0]);
    to_stdin = ends[1];
}

static void leave(void)
{
    char *remove = xasprintf("rm -rf %s", directory);
    int status = system(remove);
    free(remove);
    cr_assert_eq(status, 0);
}

TestSuite(source, .timeout = 60, .init = enter, .fini = leave);

static void write_bytes(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "w");
    cr_assert(file && fwrite(data, 1, size, file) == size && fclose(file) == 0);
}

static void write_text(const char *path, const char *text)
{
    write_bytes(path, text, strlen(text));
}

static void feed(const char *text)
{
    cr_assert_eq(write(to_stdin, text, strlen(text)), (ssize_t)strlen(text));
}

/* What a test says of a source: the words behind COMMAND, and options. */
struct made {
    struct source *source;
    struct buf records;
    struct why why;
    size_t tasks;
    char *words[64];
    char text[512];
};

static enum error make(struct made *made, const char *words, struct source_options options)
{
    struct inputs inputs = {0};
    size_t count = 0;
    *made = (struct made){0};
    snprintf(made->text, sizeof made->text, "%s", words);
    for (char *word = strtok(made->text, " "); word; word = strtok(NULL, " "))
        made->words[count++] = strcmp(word, "''") == 0 ? word + 2 : word;
    inputs_add_words(&inputs, made->words);
    options.inputs = &inputs;
    options.values = options.values ? options.values : 1;
    options.task_max = options.task_max ? options.task_max : 1 << 20;
    enum error error = source_open(&made->source, &options, &made->why);
    inputs_free(&inputs);
    return error;
}

static struct made *open_source(const char *words, struct source_options options)
{
    static struct made made;
    cr_assert_eq(make(&made, words, options), ERR_NONE, "%s: %s", words, made.why.text);
    return &made;
}

static enum source_state take(struct made *m, size_t tasks_max, size_t bytes_max)
{
    buf_clear(&m->records);
    enum source_state state =
        source_take(m->source, &m->records, tasks_max, bytes_max, &m->tasks, &m->why);
    cr_assert_eq(state == SOURCE_TOOK, m->tasks > 0);
    if (state != SOURCE_TOOK)
        cr_assert_eq(m->records.size, 0, "only SOURCE_TOOK appends");
    return state;
}

static void end(struct made *m)
{
    source_close(&m->source);
    buf_free(&m->records);
}

/* "a-b\n" for each task, with its arguments joined by '-'. */
static void put_shown(struct made *m, struct buf *shown)
{
    struct bytes records = buf_bytes(&m->records), arg;
    for (size_t i = 0; i < m->tasks; i++) {
        struct task task;
        size_t at = 0;
        cr_assert_eq(task_take(&records, &task), ERR_NONE);
        while (task_next_arg(task, &at, &arg)) {
            buf_put_bytes(shown, arg);
            buf_put_byte(shown, '-');
        }
        shown->data[shown->size - 1] = '\n';
    }
    cr_assert_eq(records.size, 0);
}

/* All tasks, taken `tasks_max` at a time. */
static void read_all(struct made *m, size_t tasks_max, struct buf *shown)
{
    for (;;) {
        enum source_state state = take(m, tasks_max, 1 << 16);
        if (state == SOURCE_END)
            return;
        if (state == SOURCE_WAIT) {
            struct pollfd ready = {.fd = source_fd(m->source), .events = POLLIN};
            cr_assert_gt(poll(&ready, 1, 30000), 0);
            continue;
        }
        cr_assert_eq(state, SOURCE_TOOK, "%s", m->why.text);
        put_shown(m, shown);
    }
}

static void expect_all(const char *words, struct source_options options, const char *wanted)
{
    for (size_t tasks_max = 1; tasks_max <= 1000; tasks_max *= 10) {
        struct made *m = open_source(words, options);
        struct buf shown = {0};
        read_all(m, tasks_max, &shown);
        cr_assert(bytes_equal(buf_bytes(&shown), bytes_of(wanted)), "%s:\n%.*s", words,
                  (int)shown.size, (char *)shown.data);
        cr_assert_eq(take(m, 1, 1), SOURCE_END, "it stays at its end");
        buf_free(&shown);
        end(m);
    }
}

#define PLAIN                                                                                      \
    (struct source_options)                                                                        \
    {                                                                                              \
        0                                                                                          \
    }

Test(source, each_line_is_a_task_whatever_is_in_it)
{
    static const char bytes[] = "a b\n\n\xff\xfe\0x\r\nlast";
    write_bytes("lines", bytes, sizeof bytes - 1);
    struct made *m = open_source(":::: lines", PLAIN);
    static const struct {
        const char *data;
        size_t size;
    } wanted[] = {{"a b", 3}, {"", 0}, {"\xff\xfe\0x\r", 5}, {"last", 4}};
    cr_assert_eq(take(m, 100, 1000), SOURCE_TOOK);
    cr_assert_eq(m->tasks, 4);
    struct bytes records = buf_bytes(&m->records);
    for (size_t i = 0; i < 4; i++) {
        struct task task;
        cr_assert_eq(task_take(&records, &task), ERR_NONE);
        cr_assert_not(task.many);
        cr_assert(bytes_equal(task.body,
                              (struct bytes){(const uint8_t *)wanted[i].data, wanted[i].size}));
    }
    end(m);
}

Test(source, an_empty_input_ends_at_once_and_an_empty_line_does_not)
{
    write_text("empty", "");
    write_text("newline", "\n");
    expect_all(":::: empty", PLAIN, "");
    expect_all(":::: newline", PLAIN, "\n");
    expect_all(":::", PLAIN, "");
    expect_all("::::", PLAIN, "");
    expect_all("::: ''", PLAIN, "\n");
    close(to_stdin);
    expect_all("", PLAIN, "");
}

Test(source, with_null_a_newline_is_part_of_a_task)
{
    write_bytes("null", "x\0y\nz\0", 6);
    expect_all(":::: null", (struct source_options){.null = true}, "x\ny\nz\n");
    struct made *m = open_source(":::: null", (struct source_options){.null = true});
    cr_assert_eq(take(m, 100, 1000), SOURCE_TOOK);
    cr_assert_eq(m->tasks, 2);
    end(m);
}

/* Every line below was tried with GNU parallel 20221122 (--dry-run -k). */
Test(source, inputs_are_combined_as_gnu_parallel_does)
{
    write_text("n", "1\n2\n3\n");
    write_text("l", "a\nb\n");
    write_text("e", "");
    static const struct {
        const char *words, *tasks;
    } cases[] = {
        {"::: 1 2 ::: a b", "1-a\n1-b\n2-a\n2-b\n"},
        {"::: 1 2 3 :::+ a b", "1-a\n2-b\n"},
        {"::: 1 2 :::+ a b c", "1-a\n2-b\n"},
        {"::: 1 2 :::+ a b ::: x y", "1-a-x\n1-a-y\n2-b-x\n2-b-y\n"},
        {"::: x y ::: 1 2 :::+ a b", "x-1-a\nx-2-b\ny-1-a\ny-2-b\n"},
        {"::: 1 2 :::+ a b ::: x y :::+ p q", "1-a-x-p\n1-a-y-q\n2-b-x-p\n2-b-y-q\n"},
        {"::: 1 2 ::: x y z :::+ p q", "1-x-p\n1-y-q\n2-x-p\n2-y-q\n"},
        {"::: 1 2 3 :::+ a b c :::+ x y", "1-a-x\n2-b-y\n"},
        {":::+ a b ::: c d", "a-c\na-d\nb-c\nb-d\n"},
        {":::: n l", "1-a\n1-b\n2-a\n2-b\n3-a\n3-b\n"},
        {":::: l ::: x y", "a-x\na-y\nb-x\nb-y\n"},
        {"::: x y :::: l", "x-a\nx-b\ny-a\ny-b\n"},
        {":::: n ::::+ l", "1-a\n2-b\n"},
        {":::: n ::::+ l n", "1-a-1\n2-b-2\n"},
        {":::: l l ::::+ n", "a-a-1\na-b-2\nb-a-1\nb-b-2\n"},
        {"::: a ::: b ::: c d", "a-b-c\na-b-d\n"},
        {"::: a ::::: b", "a\n:::::\nb\n"},
        /* An empty input counts as one empty value, unless all are empty. */
        {"::::+ n l e", "1-a-\n"},
        {"::: 1 2 :::: e", "1-\n2-\n"},
        {":::: e ::: 1 2", "-1\n-2\n"},
        {"::: 1 2 3 :::+", "1-\n"},
        {"::: a :::", "a-\n"},
        {":::: e :::+ 1 2", "-1\n"},
        {"::: 1 2 :::: e :::+ 1 2", "1--1\n2--1\n"},
        {":::: e e", ""},
        {":::: e ::: ''", "-\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_all(cases[i].words, PLAIN, cases[i].tasks);
}

/* Tried with GNU parallel as well. */
Test(source, n_takes_so_many_rows_and_the_last_task_may_have_fewer)
{
    struct source_options two = {.values = 2};
    write_text("n", "1\n2\n3");
    expect_all(":::: n", two, "1-2\n3\n");
    expect_all("::: 1 2 3 4", two, "1-2\n3-4\n");
    expect_all("::: 1 2 3 ::: a b", two, "1-a-1-b\n2-a-2-b\n3-a-3-b\n");
    expect_all("::: 1 2 3 :::+ a b c", two, "1-a-2-b\n3-c\n");
    expect_all(":::: n", (struct source_options){.values = UINT64_MAX}, "1-2-3\n");
}

/* Tried with GNU parallel as well. */
Test(source, columns_become_arguments)
{
    struct source_options comma = {.colsep = ","};
    write_text("c", "a,b\nc,d,e\n\nf\n,g,\n");
    expect_all(":::: c", comma, "a-b\nc-d-e\n\nf\n-g-\n");
    expect_all("::: 1,2 3,4 ::: a,b c", comma, "1-2-a-b\n1-2-c\n3-4-a-b\n3-4-c\n");
    expect_all("::: 1,2 3,4 5,6", (struct source_options){.colsep = ",", .values = 2},
               "1-2-3-4\n5-6\n");
}

Test(source, a_pipe_fed_byte_by_byte_makes_the_same_tasks)
{
    static const char text[] = "one\n\nthree words here\nlast";
    static const char *const options[] = {NULL, "x"}; /* both ways through the source */
    struct buf shown = {0};
    for (size_t way = 0; way < 2; way++) {
        int ends[2];
        cr_assert_eq(pipe(ends), 0);
        dup2(ends[0], STDIN_FILENO);
        close(ends[0]);
        struct made *m = open_source("", (struct source_options){.colsep = options[way]});
        cr_assert_eq(take(m, 10, 1000), SOURCE_WAIT);
        for (const char *at = text; *at; at++) {
            cr_assert_eq(source_fd(m->source), STDIN_FILENO);
            cr_assert_eq(write(ends[1], at, 1), 1);
            enum source_state state = take(m, 10, 1000);
            cr_assert_eq(state, *at == '\n' ? SOURCE_TOOK : SOURCE_WAIT);
            if (state == SOURCE_TOOK)
                put_shown(m, &shown);
        }
        close(ends[1]);
        cr_assert_eq(take(m, 10, 1000), SOURCE_TOOK);
        put_shown(m, &shown);
        cr_assert_eq(take(m, 10, 1000), SOURCE_END);
        buf_put_byte(&shown, '\0');
        cr_assert_str_eq((char *)shown.data, "one\n\nthree words here\nlast\n");
        buf_clear(&shown);
        end(m);
    }
    buf_free(&shown);
}

Test(source, the_descriptor_stays_as_others_know_it)
{
    int before = fcntl(STDIN_FILENO, F_GETFL);
    struct made *m = open_source("", PLAIN);
    cr_assert_eq(take(m, 1, 100), SOURCE_WAIT);
    cr_assert_eq(fcntl(STDIN_FILENO, F_GETFL), before);
    end(m);
    cr_assert_eq(fcntl(STDIN_FILENO, F_GETFL), before, "and open");
}

Test(source, a_socket_and_a_fifo_without_a_writer_are_waited_for)
{
    int ends[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    dup2(ends[0], STDIN_FILENO);
    close(ends[0]);
    struct made *m = open_source("", PLAIN);
    cr_assert_eq(take(m, 1, 100), SOURCE_WAIT);
    cr_assert_eq(write(ends[1], "x\n", 2), 2);
    cr_assert_eq(take(m, 1, 100), SOURCE_TOOK);
    close(ends[1]);
    cr_assert_eq(take(m, 1, 100), SOURCE_END);
    end(m);

    cr_assert_eq(mkfifo("fifo", 0600), 0);
    m = open_source(":::: fifo", PLAIN);
    cr_assert_eq(take(m, 1, 100), SOURCE_WAIT);
    int writer = open("fifo", O_WRONLY);
    cr_assert_eq(write(writer, "x\n", 2), 2);
    cr_assert_eq(take(m, 1, 100), SOURCE_TOOK);
    close(writer);
    cr_assert_eq(take(m, 1, 100), SOURCE_END);
    end(m);
}

Test(source, no_more_tasks_and_bytes_are_taken_than_there_is_room_for)
{
    write_text("lines", "aaaa\nbbbb\ncccc\nddddddddddddddddddddd\ne\n");
    static const char *const options[] = {NULL, "x"};
    for (size_t way = 0; way < 2; way++) {
        struct made *m = open_source(":::: lines", (struct source_options){.colsep = options[way]});
        cr_assert_eq(take(m, 2, 1000), SOURCE_TOOK);
        cr_assert_eq(m->tasks, 2);
        cr_assert_eq(take(m, 10, 22), SOURCE_TOOK);
        cr_assert_eq(m->tasks, 1, "the next one does not fit");
        cr_assert_leq(m->records.size, 22);
        cr_assert_eq(take(m, 10, 4), SOURCE_TOOK);
        cr_assert_eq(m->tasks, 1, "the first may be larger");
        cr_assert_eq(take(m, 10, 0), SOURCE_TOOK);
        cr_assert_eq(m->tasks, 1);
        cr_assert_eq(take(m, 10, 0), SOURCE_END);
        end(m);
    }
}

Test(source, a_task_above_task_max_is_told_with_its_size_and_the_others_pass)
{
    write_text("lines", "short\n12345678901\n1234567890\nx12345678901");
    static const char *const options[] = {NULL, "-"};
    for (size_t way = 0; way < 2; way++) {
        struct made *m = open_source(
            ":::: lines", (struct source_options){.task_max = 10, .colsep = options[way]});
        cr_assert_eq(take(m, 10, 1000), SOURCE_TOOK);
        cr_assert_eq(m->tasks, 1);
        cr_assert_eq(take(m, 10, 1000), SOURCE_TOO_LARGE);
        cr_assert_eq(source_too_large_size(m->source), 11);
        cr_assert_eq(take(m, 10, 1000), SOURCE_TOOK);
        cr_assert_eq(m->tasks, 1);
        cr_assert_eq(take(m, 10, 1000), SOURCE_TOO_LARGE);
        cr_assert_eq(source_too_large_size(m->source), 12);
        cr_assert_eq(take(m, 10, 1000), SOURCE_END);
        end(m);
    }
}

Test(source, the_size_of_a_task_is_that_of_its_joined_arguments)
{
    struct made *m =
        open_source("::: 123 45678 ::: abcd abcde", (struct source_options){.task_max = 9});
    struct buf shown = {0};
    cr_assert_eq(take(m, 10, 1000), SOURCE_TOOK);
    put_shown(m, &shown);
    cr_assert_eq(m->tasks, 2);
    cr_assert_eq(take(m, 10, 1000), SOURCE_TOO_LARGE);
    cr_assert_eq(source_too_large_size(m->source), 10);
    cr_assert_eq(take(m, 10, 1000), SOURCE_TOO_LARGE);
    cr_assert_eq(source_too_large_size(m->source), 11);
    cr_assert_eq(take(m, 10, 1000), SOURCE_END);
    end(m);
    buf_free(&shown);
}

static long memory_max_kib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

/* Writes `size` bytes 'x' and a newline as the source reads them. */
static void feed_long_line(struct made *m, size_t size)
{
    char chunk[4096];
    memset(chunk, 'x', sizeof chunk);
    for (size_t written = 0; written < size; written += sizeof chunk) {
        cr_assert_eq(write(to_stdin, chunk, sizeof chunk), (ssize_t)sizeof chunk);
        cr_assert_eq(take(m, 10, 1000), SOURCE_WAIT);
    }
    feed("\n");
}

Test(source, a_line_that_is_too_long_is_not_held)
{
    enum { LONG = 64 << 20 };
    long before = memory_max_kib();
    struct made *m = open_source("", (struct source_options){.task_max = 1 << 20});
    feed_long_line(m, LONG);
    cr_assert_eq(take(m, 10, 1000), SOURCE_TOO_LARGE);
    cr_assert_eq(source_too_large_size(m->source), LONG);
    feed_long_line(m, 2 << 20);
    feed("after");
    close(to_stdin);
    cr_assert_eq(take(m, 10, 1000), SOURCE_TOO_LARGE);
    cr_assert_eq(source_too_large_size(m->source), 2 << 20);
    cr_assert_eq(take(m, 10, 1000), SOURCE_TOOK);
    cr_assert_eq(take(m, 10, 1000), SOURCE_END);
    end(m);
#ifndef __SANITIZE_ADDRESS__
    cr_assert_lt(memory_max_kib() - before, 16 << 10);
#else
    (void)before;
#endif
}

Test(source, a_line_as_long_as_task_max_passes_whole)
{
    enum { LONG = 1 << 20 };
    struct made *m = open_source("", (struct source_options){.task_max = LONG});
    feed_long_line(m, LONG);
    cr_assert_eq(take(m, 1, 1000), SOURCE_TOOK);
    struct bytes records = buf_bytes(&m->records);
    struct task task;
    cr_assert_eq(task_take(&records, &task), ERR_NONE);
    cr_assert_eq(task.body.size, LONG);
    for (size_t i = 0; i < LONG; i++)
        if (task.body.data[i] != 'x')
            cr_assert_fail("byte %zu", i);
    end(m);
}

Test(source, many_values_of_one_task_are_not_held_past_task_max)
{
    struct made *m =
        open_source("::: 1 2 3 4 5 6 7 8 9", (struct source_options){.task_max = 5, .values = 4});
    cr_assert_eq(take(m, 10, 1000), SOURCE_TOO_LARGE);
    cr_assert_eq(source_too_large_size(m->source), 7);
    cr_assert_eq(take(m, 10, 1000), SOURCE_TOO_LARGE);
    cr_assert_eq(take(m, 10, 1000), SOURCE_TOOK, "the last one has one value");
    end(m);
}

Test(source, a_held_value_that_is_too_long_makes_its_combinations_too_large)
{
    write_text("long", "ok\n12345678901\n");
    struct made *m = open_source("::: a b :::: long", (struct source_options){.task_max = 10});
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(take(m, 10, 1000), SOURCE_TOOK);
        cr_assert_eq(m->tasks, 1);
        cr_assert_eq(take(m, 10, 1000), SOURCE_TOO_LARGE);
        cr_assert_eq(source_too_large_size(m->source), 13);
    }
    cr_assert_eq(take(m, 10, 1000), SOURCE_END);
    end(m);
}

Test(source, the_first_input_is_streamed_while_the_others_are_held)
{
    write_text("l", "a\nb\n");
    struct made *m = open_source(":::: - l", PLAIN);
    struct buf shown = {0};
    cr_assert_eq(take(m, 10, 1000), SOURCE_WAIT);
    feed("1\n");
    cr_assert_eq(take(m, 10, 1000), SOURCE_TOOK);
    put_shown(m, &shown);
    buf_put_byte(&shown, '\0');
    cr_assert_str_eq((char *)shown.data, "1-a\n1-b\n");
    cr_assert_eq(take(m, 10, 1000), SOURCE_WAIT);
    close(to_stdin);
    cr_assert_eq(take(m, 10, 1000), SOURCE_END);
    end(m);
    buf_free(&shown);
}

Test(source, a_held_input_that_comes_slowly_is_waited_for)
{
    struct made *m = open_source("::: 1 2 :::: -", PLAIN);
    feed("a\nb");
    cr_assert_eq(take(m, 10, 1000), SOURCE_WAIT);
    cr_assert_eq(source_fd(m->source), STDIN_FILENO);
    close(to_stdin);
    cr_assert_eq(take(m, 10, 1000), SOURCE_TOOK);
    cr_assert_eq(m->tasks, 4);
    end(m);
}

Test(source, linked_inputs_end_with_the_shortest_even_if_another_is_silent)
{
    struct made *m = open_source(":::: - :::+ a", PLAIN);
    feed("1\n");
    cr_assert_eq(take(m, 1, 1000), SOURCE_TOOK);
    cr_assert_eq(take(m, 1, 1000), SOURCE_END);
    end(m);
}

Test(source, more_than_can_be_held_fails_with_words)
{
    FILE *file = fopen("large", "w");
    char line[4097];
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\n';
    for (size_t i = 0; i <= COMBINE_HELD_MAX / (sizeof line - 1); i++)
        cr_assert_eq(fwrite(line, 1, sizeof line, file), sizeof line);
    fclose(file);
    struct made *m = open_source("::: a :::: large", PLAIN);
    for (int i = 0; i < 2; i++) {
        m->why.text[0] = '\0';
        cr_assert_eq(take(m, 10, 1000), SOURCE_FAILED);
        cr_assert(strstr(m->why.text, "64 MiB") && strstr(m->why.text, "put the largest one first"),
                  "%s", m->why.text);
    }
    end(m);
    m = open_source(":::: large ::: a", PLAIN);
    cr_assert_eq(take(m, 1, 1000), SOURCE_TOOK, "as the first one it is streamed");
    end(m);
}

static void expect_refused(const char *words, struct source_options options, enum error error,
                           const char *part)
{
    struct made m;
    cr_assert_eq(make(&m, words, options), error, "%s: %s", words, m.why.text);
    cr_assert(strstr(m.why.text, part), "%s: %s", words, m.why.text);
}

Test(source, an_input_that_cannot_be_read_is_refused_at_once)
{
    write_text("secret", "x\n");
    cr_assert_eq(chmod("secret", 0), 0);
    cr_assert_eq(mkdir("directory", 0700), 0);
    expect_refused(":::: missing", PLAIN, ERR_NOT_FOUND, "missing: No such file");
    expect_refused("::: a :::: secret/x", PLAIN, ERR_NOT_FOUND, "secret/x: Not a directory");
    expect_refused("::: a :::: directory", PLAIN, ERR_INVALID, "directory: it is a directory");
    expect_refused(":::: - -", PLAIN, ERR_INVALID, "named twice");
    expect_refused("::: a", (struct source_options){.colsep = "("}, ERR_INVALID, "--colsep");
    if (geteuid() == 0)
        cr_assert_eq(seteuid(65534), 0);
    cr_assert_eq(chdir("/"), 0);
    char words[128];
    snprintf(words, sizeof words, ":::: %s/secret", directory);
    expect_refused(words, PLAIN, ERR_ACCESS, "Permission denied");
    cr_assert(geteuid() != 65534 || seteuid(0) == 0);
    close(STDIN_FILENO);
    expect_refused("", PLAIN, ERR_IO, "standard input");
}

Test(source, the_total_is_known_when_all_values_are_on_the_command_line)
{
    static const struct {
        const char *words;
        uint64_t values, total;
    } cases[] = {{"::: a b c", 1, 3},          {"::: a b c", 2, 2},
                 {"::: a b ::: c d e", 1, 6},  {"::: a b :::+ c d e", 1, 2},
                 {"::: a b ::: c :::+", 1, 2}, {":::", 1, 0},
                 {"::: a b :::: n", 1, 0},     {"", 1, 0}};
    write_text("n", "1\n");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct made *m =
            open_source(cases[i].words, (struct source_options){.values = cases[i].values});
        cr_assert_eq(source_total(m->source), cases[i].total, "%s", cases[i].words);
        end(m);
    }
}

static struct hash fingerprint_of(const char *words, struct source_options options)
{
    struct made *m = open_source(words, options);
    struct hash hash = source_fingerprint(m->source);
    end(m);
    return hash;
}

Test(source, the_fingerprint_is_of_the_options_and_not_of_the_content)
{
    struct hash plain = fingerprint_of("::: a b", PLAIN);
    cr_assert(hash_equal(plain, fingerprint_of("::: a b c", PLAIN)));
    cr_assert(hash_equal(plain, fingerprint_of("", PLAIN)));
    cr_assert_not(hash_equal(plain, fingerprint_of("", (struct source_options){.null = true})));
    cr_assert_not(hash_equal(plain, fingerprint_of("", (struct source_options){.values = 2})));
    cr_assert_not(hash_equal(plain, fingerprint_of("", (struct source_options){.colsep = ","})));
    cr_assert_not(hash_equal(plain, fingerprint_of("::: a ::: b", PLAIN)));
    struct hash blocks = fingerprint_of("", (struct source_options){.pipe = true});
    cr_assert_not(hash_equal(plain, blocks));
    cr_assert_not(
        hash_equal(blocks, fingerprint_of("", (struct source_options){.pipe = true, .block = 9})));
    cr_assert_not(hash_equal(
        blocks, fingerprint_of("", (struct source_options){.pipe = true, .recend = ""})));
    cr_assert_not(hash_equal(
        blocks, fingerprint_of("", (struct source_options){.pipe = true, .recstart = "x"})));
    cr_assert_not(
        hash_equal(fingerprint_of("::: a :::+ b", PLAIN), fingerprint_of("::: a ::: b", PLAIN)));
}

Test(source, the_command_ends_where_its_inputs_begin)
{
    static const char *const marks[] = {":::", "::::", ":::+", "::::+"};
    for (size_t i = 0; i < 4; i++)
        cr_assert_eq(inputs_command_count((char *[]){"echo", "a", (char *)marks[i], "b", NULL}), 2);
    cr_assert_eq(inputs_command_count((char *[]){"echo", "::", ":::::", ":::x", "+", NULL}), 5);
}

/* Lines with lengths from 0 to 3000 bytes. */
Test(source, nothing_is_lost_where_the_buffer_wraps)
{
    FILE *file = fopen("many", "w");
    uint64_t random = 1;
    char line[3001];
    memset(line, 'y', sizeof line);
    for (unsigned i = 0; i < 20000; i++) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        fprintf(file, "%u%.*s\n", i, (int)((random >> 33) % 3001), line);
    }
    fclose(file);
    struct made *m = open_source(":::: many", PLAIN);
    struct buf shown = {0};
    read_all(m, 77, &shown);
    write_bytes("again", shown.data, shown.size);
    cr_assert_eq(system("cmp many again"), 0);
    buf_free(&shown);
    end(m);
}
