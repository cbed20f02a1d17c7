/* SPDX-License-Identifier: MPL-2.0 */
#include "plugin_fixture.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/xalloc.h"

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

void give(struct fixture *f, unsigned slot, uint64_t first, uint32_t count)
{
    struct assignment assignment = {.slot = slot,
                                    .first = first,
                                    .count = count,
                                    .attempt = {1, 1},
                                    .tries = 2,
                                    .last = f->last,
                                    .wants = f->wants,
                                    .records = buf_bytes(&f->records)};
    executor_start(f->executor, &assignment, clock_now_ns());
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

static void on_finished_run(void *context, const struct outcome_run *run)
{
    struct outcome_run rest = *run;
    struct outcome outcome;
    uint32_t failed = 0;
    struct fixture *f = context;
    f->runs++;
    cr_assert_gt(run->count, 0);
    cr_assert_eq(run->wants & f->wants, f->wants);
    while (outcome_run_next(&rest, &outcome)) {
        failed += outcome.status != RESULT_OK;
        on_finished(context, &outcome);
    }
    cr_assert(rest.count == 0 && rest.records.size == 0);
    cr_assert_eq(run->failed, failed);
    cr_assert_eq(run->final, f->last || !failed);
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

static void on_held_up(void *context, const char *why)
{
    struct fixture *f = context;
    cr_assert(*why);
    f->held_up++;
}

struct fixture *prepare(const char *file)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    f->events = (struct executor_events){.context = f,
                                         .finished = on_finished,
                                         .finished_run = on_finished_run,
                                         .returned = on_returned,
                                         .cancelled = on_cancelled,
                                         .broken = on_broken,
                                         .held_up = on_held_up};
    strcpy(f->tmpdir, "/tmp");
    f->wants = WANT_TIMES;
    f->options = (struct executor_options){.slots = 1,
                                           .output_max = 4 << 20,
                                           .tmpdir = f->tmpdir,
                                           .worker = "tester",
                                           .plugin = file,
                                           .program = PLUGIN_HOST,
                                           .patience_ns = NEVER};
    signal(SIGPIPE, SIG_IGN);
    sigset_t chld;
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    sigprocmask(SIG_BLOCK, &chld, NULL);
    f->children = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
    return f;
}

void launch(struct fixture *f)
{
    struct why why = {""};
    cr_assert_eq(executor_new(&plugin_kind, &f->options, &f->events, &f->executor, &why), ERR_NONE,
                 "%s", why.text);
}

struct fixture *launched(char *const *args)
{
    struct fixture *f = prepare(PLUGINS "/trouble.so");
    f->options.words = args;
    launch(f);
    return f;
}

struct fixture *launched_impatient(void)
{
    struct fixture *f = prepare(PLUGINS "/trouble.so");
    f->options.patience_ns = PATIENCE_NS;
    launch(f);
    return f;
}

void finish(struct fixture *f)
{
    executor_destroy(&f->executor);
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
        cr_assert(executor_child_exited(f->executor, pid, status, clock_now_ns()));
}

void turn(struct fixture *f)
{
    uint64_t now_ns = clock_now_ns(), due_ns = executor_deadline(f->executor);
    uint64_t wait_ns = due_ns <= now_ns ? 0 : due_ns - now_ns;
    struct pollfd fds[] = {{.fd = executor_fd(f->executor), .events = POLLIN},
                           {.fd = f->children, .events = POLLIN}};
    int wait_ms = wait_ns < 10 * NS_PER_S ? (int)((wait_ns + NS_PER_MS - 1) / NS_PER_MS) : 10000;
    int ready = poll(fds, 2, wait_ms);
    cr_assert(ready || wait_ms < 10000, "nothing happened for 10 s");
    executor_turn(f->executor, clock_now_ns());
    reap(f);
}

void run_until_ended(struct fixture *f, size_t tasks)
{
    while (f->tasks_ended < tasks)
        turn(f);
    cr_assert_eq(f->tasks_ended, tasks);
}

void run_until_broken(struct fixture *f)
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

void assign(struct fixture *f, uint64_t first, const char *text)
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

void run(struct fixture *f, uint64_t first, const char *text)
{
    assign(f, first, text);
    run_until_ended(f, f->count);
}

bool is_text(const struct buf *bytes, const char *text)
{
    return bytes_equal(buf_bytes(bytes), bytes_of(text));
}

bool has_text(const struct buf *bytes, const char *text)
{
    return memmem(bytes->data, bytes->size, text, strlen(text));
}

void assert_end(const struct end *end, enum how how, uint64_t seq, uint32_t count)
{
    cr_assert_eq(end->how, how, "task %d ended in %d", (int)seq, end->how);
    cr_assert_eq(end->seq, seq, "task %d instead of %d", (int)end->seq, (int)seq);
    cr_assert_eq(end->count, count);
}

void assert_finished(const struct end *end, uint64_t seq, enum result_status status, unsigned code)
{
    assert_end(end, FINISHED, seq, 1);
    cr_assert_eq(end->status, status, "task %d: status %d", (int)seq, end->status);
    cr_assert_eq(end->code, code, "task %d: code %d", (int)seq, end->code);
}

void assert_works(struct fixture *f)
{
    run(f, 1000, "echo it works");
    assert_finished(&f->ends[0], 1000, RESULT_OK, 0);
    cr_assert(is_text(&f->ends[0].out, "echo it works"));
}
