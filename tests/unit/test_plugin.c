/* SPDX-License-Identifier: MPL-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "worker/plugin.h"

/* The executor with real children: the host program and the plugins are built for it (plugins/). */

TestSuite(plugin, .timeout = 60);

enum { ENDS_MAX = 8192 };
enum how { FINISHED, RETURNED, CANCELLED };

/* How a task ended. */
struct end {
    enum how how;
    unsigned slot;
    uint64_t seq;
    uint32_t count;
    enum result_status status;
    unsigned code;
    uint64_t duration_ns;
    uint64_t start_us;
    struct buf out;
    struct buf err;
    bool out_in_file;
};

struct fixture {
    struct executor *executor;
    struct executor_events events;
    struct plugin_options options;
    int children; /* signalfd */
    struct buf records;
    uint64_t first; /* of the last assignment */
    uint32_t count;
    struct end ends[ENDS_MAX];
    size_t end_count;
    size_t tasks_ended;
    char broken[1024];
    unsigned again; /* start one more from inside `finished`, so often */
    char tmpdir[32];
};

static struct end *new_end(struct fixture *f, enum how how, uint64_t seq, uint32_t count)
{
    cr_assert_lt(f->end_count, ENDS_MAX);
    cr_assert_eq(f->broken[0], 0, "what was assigned is returned before broken");
    struct end *end = &f->ends[f->end_count++];
    *end = (struct end){.how = how, .seq = seq, .count = count};
    f->tasks_ended += count;
    return end;
}

static void keep(struct buf *to, const struct output *output)
{
    if (output->fd < 0) {
        cr_assert_eq(output->bytes.size, output->size);
        buf_put_bytes(to, output->bytes);
        return;
    }
    cr_assert_eq(pread(output->fd, buf_reserve(to, output->size + 1), output->size + 1, 0),
                 (ssize_t)output->size);
    to->size = output->size;
    close(output->fd);
}

static void give(struct fixture *f, unsigned slot, uint64_t first, uint32_t count)
{
    struct assignment assignment = {.slot = slot,
                                    .first = first,
                                    .count = count,
                                    .attempt = {1, 1},
                                    .tries = 2,
                                    .records = buf_bytes(&f->records)};
    f->executor->class->start(f->executor, &assignment, clock_now_ns());
}

static void on_finished(void *context, const struct outcome *outcome)
{
    struct fixture *f = context;
    struct end *end = new_end(f, FINISHED, outcome->seq, 1);
    end->slot = outcome->slot;
    end->status = outcome->status;
    end->code = outcome->code;
    end->start_us = outcome->start_us;
    end->duration_ns = outcome->duration_ns;
    end->out_in_file = outcome->out.fd >= 0;
    keep(&end->out, &outcome->out);
    keep(&end->err, &outcome->err);
    if (f->again) {
        f->again--;
        give(f, outcome->slot, f->first, 1);
    }
}

static void on_returned(void *context, unsigned slot, uint64_t first, uint32_t count)
{
    new_end(context, RETURNED, first, count)->slot = slot;
}

static void on_cancelled(void *context, unsigned slot, uint64_t seq)
{
    new_end(context, CANCELLED, seq, 1)->slot = slot;
}

static void on_broken(void *context, const char *why)
{
    struct fixture *f = context;
    cr_assert_eq(f->broken[0], 0, "it is said once");
    snprintf(f->broken, sizeof f->broken, "%s", why);
}

static struct fixture *prepare(const char *file)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    f->events = (struct executor_events){f, on_finished, on_returned, on_cancelled, on_broken};
    strcpy(f->tmpdir, "/tmp");
    f->options = (struct plugin_options){
        .base = {.slots = 1, .output_max = 4 << 20, .tmpdir = f->tmpdir, .worker = "tester"},
        .file = file,
        .program = PLUGIN_HOST};
    sigset_t chld;
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    sigprocmask(SIG_BLOCK, &chld, NULL);
    f->children = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
    return f;
}

static void launch(struct fixture *f)
{
    struct why why = {""};
    cr_assert_eq(plugin_new(&f->options, &f->events, &f->executor, &why), ERR_NONE, "%s", why.text);
}

static struct fixture *launched(char *const *args)
{
    struct fixture *f = prepare(PLUGINS "/trouble.so");
    f->options.args = args;
    launch(f);
    return f;
}

static void finish(struct fixture *f)
{
    f->executor->class->destroy(&f->executor);
    cr_assert_null(f->executor);
    cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1, "no child is left behind");
    for (size_t i = 0; i < f->end_count; i++) {
        buf_free(&f->ends[i].out);
        buf_free(&f->ends[i].err);
    }
    buf_free(&f->records);
    close(f->children);
    free(f);
}

static void reap(struct fixture *f)
{
    struct signalfd_siginfo info;
    int status;
    pid_t pid;
    while (read(f->children, &info, sizeof info) > 0)
        ;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        cr_assert(f->executor->class->child_exited(f->executor, pid, status, clock_now_ns()));
}

/* One turn of the loop of executor.h, waiting 10 s at most. */
static void turn(struct fixture *f)
{
    const struct executor_class *class = f->executor->class;
    uint64_t now_ns = clock_now_ns(), due_ns = class->deadline(f->executor);
    uint64_t wait_ns = due_ns <= now_ns ? 0 : due_ns - now_ns;
    struct pollfd fds[] = {{.fd = class->fd(f->executor), .events = POLLIN},
                           {.fd = f->children, .events = POLLIN}};
    int wait_ms = wait_ns < 10 * NS_PER_S ? (int)((wait_ns + NS_PER_MS - 1) / NS_PER_MS) : 10000;
    int ready = poll(fds, 2, wait_ms);
    cr_assert(ready || wait_ms < 10000, "nothing happened for 10 s");
    class->turn(f->executor, clock_now_ns());
    reap(f);
}

static void run_until_ended(struct fixture *f, size_t tasks)
{
    while (f->tasks_ended < tasks)
        turn(f);
    cr_assert_eq(f->tasks_ended, tasks);
}

static void run_until_broken(struct fixture *f)
{
    while (!f->broken[0])
        turn(f);
}

static void forget_ends(struct fixture *f)
{
    for (size_t i = 0; i < f->end_count; i++) {
        buf_free(&f->ends[i].out);
        buf_free(&f->ends[i].err);
    }
    f->end_count = f->tasks_ended = 0;
}

/* Assigns the lines of `text` to slot 0, numbered from `first`. */
static void assign(struct fixture *f, uint64_t first, const char *text)
{
    forget_ends(f);
    buf_clear(&f->records);
    f->first = first;
    for (f->count = 0; *text; f->count++) {
        size_t size = strcspn(text, "\n");
        task_put_line(&f->records, (struct bytes){(const uint8_t *)text, size});
        text += size + (text[size] == '\n');
    }
    give(f, 0, first, f->count);
}

static void run(struct fixture *f, uint64_t first, const char *text)
{
    assign(f, first, text);
    run_until_ended(f, f->count);
}

static bool is(const struct buf *bytes, const char *text)
{
    return bytes_equal(buf_bytes(bytes), bytes_of(text));
}

static bool has(const struct buf *bytes, const char *text)
{
    return memmem(bytes->data, bytes->size, text, strlen(text));
}

static void assert_end(const struct end *end, enum how how, uint64_t seq, uint32_t count)
{
    cr_assert_eq(end->how, how, "task %d ended in %d", (int)seq, end->how);
    cr_assert_eq(end->seq, seq, "task %d instead of %d", (int)end->seq, (int)seq);
    cr_assert_eq(end->count, count);
}

static void assert_finished(const struct end *end, uint64_t seq, enum result_status status,
                            unsigned code)
{
    assert_end(end, FINISHED, seq, 1);
    cr_assert_eq(end->status, status, "task %d: status %d", (int)seq, end->status);
    cr_assert_eq(end->code, code, "task %d: code %d", (int)seq, end->code);
}

static void assert_works(struct fixture *f)
{
    run(f, 1000, "echo it works");
    assert_finished(&f->ends[0], 1000, RESULT_OK, 0);
    cr_assert(is(&f->ends[0].out, "echo it works"));
}

Test(plugin, the_results_of_a_batch_come_in_order_each_with_its_own_bytes)
{
    struct fixture *f = prepare(EXAMPLES "/multiply.so");
    f->options.args = (char *[]){"2", NULL};
    launch(f);
    f->count = 4096;
    for (uint32_t i = 0; i < f->count; i++) {
        char text[16];
        snprintf(text, sizeof text, "%u", i);
        task_put_line(&f->records, bytes_of(text));
    }
    give(f, 0, 10, f->count);
    run_until_ended(f, f->count);
    for (uint32_t i = 0; i < f->count; i++) {
        char text[16];
        snprintf(text, sizeof text, "%u\n", 2 * i);
        assert_finished(&f->ends[i], 10 + i, RESULT_OK, 0);
        cr_assert(is(&f->ends[i].out, text));
        cr_assert(is(&f->ends[i].err, ""));
    }
    finish(f);
}

Test(plugin, the_multiply_example_refuses_what_is_no_number)
{
    struct fixture *f = prepare(EXAMPLES "/multiply.so");
    f->options.args = (char *[]){"-3", NULL};
    launch(f);
    run(f, 1,
        "7\nseven\n\n9223372036854775807\n-9223372036854775808\n-12\n0\n12345678901234567890");
    const char *out[] = {"-21\n", "", "", "", "", "36\n", "0\n", ""};
    for (unsigned i = 0; i < 8; i++) {
        assert_finished(&f->ends[i], 1 + i, *out[i] ? RESULT_OK : RESULT_EXITED, *out[i] ? 0 : 1);
        cr_assert(is(&f->ends[i].out, out[i]), "%u", i);
        cr_assert_eq(f->ends[i].err.size == 0, *out[i] != 0);
    }
    cr_assert(has(&f->ends[1].err, "task 2 is no number: seven"));
    finish(f);
}

Test(plugin, a_task_knows_its_number_its_attempt_its_slot_and_its_size)
{
    struct fixture *f = prepare(PLUGINS "/trouble.so");
    f->options.base.slots = 2;
    launch(f);
    task_put_args(&f->records, (struct bytes[]){bytes_of("about"), bytes_of("it")}, 2);
    give(f, 1, 77, 1);
    uint64_t before_us = clock_realtime_us();
    run_until_ended(f, 1);
    cr_assert_eq(f->ends[0].slot, 1);
    cr_assert(is(&f->ends[0].out, "77 2 2 8"));
    cr_assert_lt(f->ends[0].duration_ns, 10 * NS_PER_S);
    cr_assert_geq(f->ends[0].start_us + 1000, before_us);
    cr_assert_leq(f->ends[0].start_us, clock_realtime_us());
    finish(f);
}

Test(plugin, the_return_value_is_the_exit_status)
{
    struct fixture *f = launched(NULL);
    run(f, 1, "return 1\nreturn 255\nreturn 256\nreturn -1\nreturn 0");
    const unsigned codes[] = {1, 255, 255, 255, 0};
    for (unsigned i = 0; i < 5; i++) {
        assert_finished(&f->ends[i], 1 + i, codes[i] ? RESULT_EXITED : RESULT_OK, codes[i]);
        cr_assert(is(&f->ends[i].err, "failed as told\n"));
    }
    finish(f);
}

Test(plugin, what_a_plugin_prints_is_not_the_result)
{
    struct fixture *f = launched(NULL);
    run(f, 1, "print\n");
    assert_finished(&f->ends[0], 1, RESULT_OK, 0);
    cr_assert(is(&f->ends[0].out, ""));
    cr_assert(is(&f->ends[0].err, ""));
    finish(f);
}

Test(plugin, a_crash_costs_the_task_it_was_at_and_no_other)
{
    struct fixture *f = launched(NULL);
    run(f, 1, "echo a\necho b\nabort\necho d\necho e");
    cr_assert_eq(f->end_count, 4);
    assert_finished(&f->ends[0], 1, RESULT_OK, 0);
    cr_assert(is(&f->ends[0].out, "echo a"));
    assert_finished(&f->ends[1], 2, RESULT_OK, 0);
    assert_finished(&f->ends[2], 3, RESULT_SIGNALED, SIGABRT);
    assert_end(&f->ends[3], RETURNED, 4, 2);
    run(f, 4, "count");
    cr_assert(is(&f->ends[0].out, "1"), "a fresh child runs it");
    run(f, 5, "kill\necho");
    assert_finished(&f->ends[0], 5, RESULT_SIGNALED, SIGKILL);
    assert_end(&f->ends[1], RETURNED, 6, 1);
    finish(f);
}

Test(plugin, crashes_one_after_the_other_do_not_break_it)
{
    struct fixture *f = launched(NULL);
    for (unsigned i = 0; i < 6; i++) {
        run(f, 1 + i, "abort");
        assert_finished(&f->ends[0], 1 + i, RESULT_SIGNALED, SIGABRT);
    }
    assert_works(f);
    cr_assert_eq(f->broken[0], 0);
    finish(f);
}

Test(plugin, a_plugin_that_calls_exit_is_a_failed_task_whatever_the_status)
{
    struct fixture *f = launched(NULL);
    run(f, 1, "exit 3\necho");
    assert_finished(&f->ends[0], 1, RESULT_EXITED, 3);
    assert_end(&f->ends[1], RETURNED, 2, 1);
    run(f, 1, "exit 0");
    assert_finished(&f->ends[0], 1, RESULT_EXITED, 255);
    cr_assert(has(&f->ends[0].err, "ended its process with status 0"));
    assert_works(f);
    finish(f);
}

Test(plugin, a_task_that_runs_too_long_is_killed_and_those_around_it_are_not)
{
    struct fixture *f = prepare(PLUGINS "/trouble.so");
    f->options.base.timeout_ns = 200 * NS_PER_MS;
    launch(f);
    run(f, 1, "echo\nsleep 3600\necho\necho");
    assert_finished(&f->ends[0], 1, RESULT_OK, 0);
    assert_finished(&f->ends[1], 2, RESULT_TIMED_OUT, 0);
    cr_assert_geq(f->ends[1].duration_ns, 200 * NS_PER_MS);
    assert_end(&f->ends[2], RETURNED, 3, 2);
    run(f, 3, "sleep 3600");
    assert_finished(&f->ends[0], 3, RESULT_TIMED_OUT, 0);
    assert_works(f);
    finish(f);
}

Test(plugin, results_before_a_long_task_do_not_wait_for_it)
{
    struct fixture *f = launched(NULL);
    assign(f, 1, "echo\necho\nsleep 3600\necho");
    run_until_ended(f, 2);
    uint64_t since_ns = 0;
    cr_assert_eq(f->executor->class->running(f->executor, 0, &since_ns), 3);
    cr_assert_leq(since_ns, clock_now_ns());
    cr_assert_geq(since_ns + 30 * NS_PER_S, clock_now_ns());
    finish(f);
}

Test(plugin, a_running_task_can_be_cancelled_and_the_rest_is_returned)
{
    struct fixture *f = launched(NULL);
    assign(f, 1, "echo\nsleep 3600\necho");
    run_until_ended(f, 1);
    f->executor->class->cancel(f->executor, 0, 2, clock_now_ns());
    f->executor->class->cancel(f->executor, 0, 9, clock_now_ns());
    run_until_ended(f, 3);
    assert_end(&f->ends[1], CANCELLED, 2, 1);
    assert_end(&f->ends[2], RETURNED, 3, 1);
    assert_works(f);
    cr_assert_eq(f->broken[0], 0);
    finish(f);
}

Test(plugin, a_waiting_task_can_be_cancelled_and_the_others_go_on)
{
    struct fixture *f = launched(NULL);
    assign(f, 1, "sleep 1\necho\necho\nsleep 3600\necho");
    f->executor->class->cancel(f->executor, 0, 2, clock_now_ns());
    f->executor->class->cancel(f->executor, 0, 4, clock_now_ns());
    run_until_ended(f, 5);
    assert_finished(&f->ends[0], 1, RESULT_OK, 0);
    assert_end(&f->ends[1], CANCELLED, 2, 1);
    assert_finished(&f->ends[2], 3, RESULT_OK, 0);
    assert_end(&f->ends[3], CANCELLED, 4, 1);
    assert_end(&f->ends[4], RETURNED, 5, 1);
    finish(f);
}

Test(plugin, a_cancel_while_the_plugin_is_still_starting_ends_the_assignment)
{
    struct fixture *f = launched((char *[]){"sleep", NULL});
    assign(f, 1, "echo\necho");
    f->executor->class->cancel(f->executor, 0, 2, clock_now_ns());
    cr_assert_eq(f->tasks_ended, 0);
    f->executor->class->cancel(f->executor, 0, 1, clock_now_ns());
    cr_assert_eq(f->tasks_ended, 2);
    assert_end(&f->ends[0], CANCELLED, 1, 1);
    assert_end(&f->ends[1], CANCELLED, 2, 1);
    finish(f);
}

static void assert_letters(const struct buf *bytes, size_t size)
{
    cr_assert_eq(bytes->size, size);
    for (size_t i = 0; i < size; i++)
        if (bytes->data[i] != 'a' + i % 26)
            cr_assert_fail("byte %zu is wrong", i);
}

Test(plugin, results_that_do_not_fit_into_the_area_together_wait_for_room)
{
    struct fixture *f = launched(NULL);
    run(f, 1, "large 100000\nlarge 100000\nlarge 100000\nlarge 200000\necho");
    for (unsigned i = 0; i < 4; i++) {
        assert_finished(&f->ends[i], 1 + i, RESULT_OK, 0);
        assert_letters(&f->ends[i].out, i < 3 ? 100000 : 200000);
        assert_letters(&f->ends[i].err, 10);
    }
    cr_assert(is(&f->ends[4].out, "echo"));
    finish(f);
}

Test(plugin, a_result_larger_than_the_area_is_whole_and_a_very_large_one_comes_in_a_file)
{
    struct fixture *f = launched(NULL);
    run(f, 1, "echo\nlarge 300000\nlarge 3000000\nlarge 4194304\necho");
    const size_t sizes[] = {0, 300000, 3000000, 4194304};
    for (unsigned i = 1; i < 4; i++) {
        assert_finished(&f->ends[i], 1 + i, RESULT_OK, 0);
        assert_letters(&f->ends[i].out, sizes[i]);
        assert_letters(&f->ends[i].err, 10);
        cr_assert_eq(f->ends[i].out_in_file, sizes[i] > OUTPUT_MEMORY_MAX);
    }
    assert_finished(&f->ends[4], 5, RESULT_OK, 0);
    finish(f);
}

Test(plugin, output_beyond_the_limit_fails_the_task)
{
    struct fixture *f = launched(NULL);
    run(f, 1, "endless\nlarge 4194305\necho");
    assert_finished(&f->ends[0], 1, RESULT_OUTPUT_TOO_LARGE, 0);
    cr_assert_leq(f->ends[0].out.size, 4 << 20);
    assert_finished(&f->ends[1], 2, RESULT_OUTPUT_TOO_LARGE, 0);
    assert_finished(&f->ends[2], 3, RESULT_OK, 0);
    finish(f);
}

Test(plugin, output_that_finds_no_place_on_disk_fails_the_task_with_words)
{
    struct fixture *f = prepare(PLUGINS "/trouble.so");
    f->options.base.tmpdir = "/nonexistent";
    launch(f);
    run(f, 1, "large 3000000\necho");
    assert_finished(&f->ends[0], 1, RESULT_OUTPUT_TOO_LARGE, 0);
    cr_assert(has(&f->ends[0].err, "/nonexistent"));
    assert_finished(&f->ends[1], 2, RESULT_OK, 0);
    finish(f);
}

Test(plugin, a_batch_larger_than_the_link_takes_at_once_gets_through)
{
    struct fixture *f = launched(NULL);
    char line[1000] = "echo ";
    memset(line + 5, 'x', sizeof line - 5);
    for (f->count = 0; f->count < 4096; f->count++)
        task_put_line(&f->records, (struct bytes){(const uint8_t *)line, sizeof line});
    give(f, 0, 1, f->count);
    run_until_ended(f, f->count);
    for (unsigned i = 0; i < f->count; i++) {
        assert_finished(&f->ends[i], 1 + i, RESULT_OK, 0);
        cr_assert_eq(f->ends[i].out.size, sizeof line);
        cr_assert_eq(memcmp(f->ends[i].out.data, line, sizeof line), 0);
    }
    finish(f);
}

Test(plugin, the_next_assignment_may_come_from_inside_an_event)
{
    struct fixture *f = launched(NULL);
    f->again = 500;
    assign(f, 1, "echo");
    run_until_ended(f, 501);
    for (unsigned i = 0; i < f->end_count; i++)
        assert_finished(&f->ends[i], 1, RESULT_OK, 0);
    finish(f);
}

Test(plugin, a_plugin_that_scribbles_on_shared_memory_is_killed_and_goes_on)
{
    struct fixture *f = launched(NULL);
    run(f, 1, "echo\necho\nscribble\necho");
    cr_assert_eq(f->end_count, 2);
    assert_finished(&f->ends[0], 1, RESULT_SIGNALED, SIGKILL);
    cr_assert(has(&f->ends[0].err, "wrote over"));
    assert_end(&f->ends[1], RETURNED, 2, 3);
    assert_works(f);
    finish(f);
}

Test(plugin, a_plugin_that_closes_our_link_is_killed_and_goes_on)
{
    struct fixture *f = launched(NULL);
    run(f, 1, "echo\nhang-up\necho");
    assert_finished(&f->ends[0], 1, RESULT_OK, 0);
    assert_finished(&f->ends[1], 2, RESULT_SIGNALED, SIGKILL);
    assert_end(&f->ends[2], RETURNED, 3, 1);
    assert_works(f);
    finish(f);
}

static void assert_refused(const char *file, enum error expected, const char *words)
{
    struct fixture *f = prepare(file);
    struct why why = {""};
    cr_assert_eq(plugin_new(&f->options, &f->events, &f->executor, &why), expected, "%s", file);
    cr_assert(strstr(why.text, words), "%s", why.text);
    cr_assert(strstr(why.text, file), "%s", why.text);
    cr_assert_null(f->executor);
    cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1, "no child is left behind");
    close(f->children);
    free(f);
}

Test(plugin, a_file_that_is_no_plugin_is_refused_with_words_before_any_task)
{
    assert_refused(__FILE__, ERR_INVALID, "cannot load the plugin");
    assert_refused("/nonexistent.so", ERR_INVALID, "No such file");
    assert_refused(PLUGINS "/no_plugin.so", ERR_INVALID, "is no zfarm plugin");
    assert_refused(PLUGINS "/other_abi.so", ERR_INVALID, "plugin interface 1000");
    assert_refused(PLUGINS "/no_handle.so", ERR_INVALID, "does not export zfarm_handle");
}

Test(plugin, without_a_program_to_start_it_is_refused_with_words)
{
    struct fixture *f = prepare(PLUGINS "/trouble.so");
    struct why why = {""};
    f->options.program = "/nonexistent";
    cr_assert_eq(plugin_new(&f->options, &f->events, &f->executor, &why), ERR_IO);
    cr_assert(strstr(why.text, "cannot start a process"), "%s", why.text);
    close(f->children);
    free(f);
}

Test(plugin, an_init_that_fails_is_no_failed_task)
{
    struct fixture *f = launched((char *[]){"fail", NULL});
    assign(f, 1, "echo\necho");
    run_until_broken(f);
    cr_assert(strstr(f->broken, "its zfarm_init returned 7"), "%s", f->broken);
    cr_assert_eq(f->end_count, 1);
    assert_end(&f->ends[0], RETURNED, 1, 2);
    f->broken[0] = 0;
    run(f, 1, "echo");
    assert_end(&f->ends[0], RETURNED, 1, 1);
    finish(f);
}

Test(plugin, an_init_that_crashes_is_no_failed_task)
{
    struct fixture *f = launched((char *[]){"crash", NULL});
    run_until_broken(f);
    cr_assert(strstr(f->broken, "signal 6"), "%s", f->broken);
    cr_assert(strstr(f->broken, "zfarm_init"), "%s", f->broken);
    cr_assert_eq(f->end_count, 0);
    finish(f);
}

Test(plugin, an_init_that_crashes_once_is_tried_again)
{
    char file[] = "/tmp/zfarm-test-XXXXXX";
    close(mkstemp(file));
    unlink(file);
    struct fixture *f = launched((char *[]){"crash-once", file, NULL});
    assert_works(f);
    cr_assert_eq(access(file, F_OK), 0, "it has crashed before");
    finish(f);
    unlink(file);
}

Test(plugin, an_idle_child_that_is_killed_is_replaced)
{
    struct fixture *f = launched(NULL);
    assert_works(f);
    FILE *children = fopen("/proc/thread-self/children", "re");
    int pid = 0;
    cr_assert_eq(fscanf(children, "%d", &pid), 1);
    fclose(children);
    kill(pid, SIGKILL);
    assign(f, 5, "count");
    while (f->tasks_ended < 1)
        turn(f);
    if (f->ends[0].how == RETURNED) /* it was sent before the death was known */
        run(f, 5, "count");
    assert_finished(&f->ends[0], 5, RESULT_OK, 0);
    cr_assert(is(&f->ends[0].out, "1"), "a fresh child runs it");
    finish(f);
}

Test(plugin, an_idle_plugin_is_destroyed_in_the_end)
{
    char file[] = "/tmp/zfarm-test-XXXXXX", text[64] = "";
    int fd = mkstemp(file);
    struct fixture *f = launched((char *[]){"well", file, NULL});
    assert_works(f);
    finish(f);
    cr_assert_gt(read(fd, text, sizeof text - 1), 0);
    cr_assert_str_eq(text, "destroyed\n");
    close(fd);
    unlink(file);
}
