/* SPDX-License-Identifier: MPL-2.0 */

/* exec_loop JOBS COUNT COMMAND ARG...
 *
 * What bare_spawn does, by the worker's command executor and its guard, in the loop that a worker
 * has, but without a farm around it: what the executor alone costs. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "worker/exec/command.h"
#include "worker/exec/drain.h"
#include "worker/exec/guard.h"

struct loop {
    struct executor *executor;
    struct guard *guard;
    struct buf record;
    unsigned *free_slots;
    unsigned free_count;
    uint64_t started;
    uint64_t finished;
    uint64_t failed;
    uint64_t count;
};

static void on_finished(void *context, const struct outcome *outcome)
{
    struct loop *loop = context;
    loop->free_slots[loop->free_count++] = outcome->slot;
    loop->finished++;
    loop->failed += outcome->status != RESULT_OK;
    if (outcome->out.fd >= 0)
        close(outcome->out.fd);
    if (outcome->err.fd >= 0)
        close(outcome->err.fd);
}

static void on_returned(void *context, unsigned slot, uint64_t first, uint32_t count)
{
    (void)context, (void)slot, (void)first, (void)count;
}

static void on_cancelled(void *context, unsigned slot, uint64_t seq)
{
    (void)context, (void)slot, (void)seq;
}

static void on_broken(void *context, const char *why)
{
    (void)context;
    fprintf(stderr, "exec_loop: %s\n", why);
    exit(1);
}

static void start_some(struct loop *loop, uint64_t now_ns)
{
    while (loop->free_count && loop->started < loop->count) {
        struct assignment assignment = {
            .slot = loop->free_slots[--loop->free_count],
            .first = ++loop->started,
            .count = 1,
            .attempt = {1, 1},
            .tries = 1,
            .records = buf_bytes(&loop->record),
        };
        executor_start(loop->executor, &assignment, now_ns);
    }
}

static void reap(struct loop *loop, int signals)
{
    struct signalfd_siginfo info;
    if (read(signals, &info, sizeof info) < 0)
        return;
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        executor_child_exited(loop->executor, pid, status, clock_now_ns());
}

static void run(struct loop *loop, int signals)
{
    struct pollfd polled[] = {{.fd = signals, .events = POLLIN},
                              {.fd = executor_fd(loop->executor), .events = POLLIN}};
    start_some(loop, clock_now_ns());
    while (loop->finished < loop->count) {
        guard_flush(loop->guard);
        poll(polled, 2, 10); /* a child that lingers has a deadline */
        if (polled[1].revents || !polled[0].revents)
            executor_turn(loop->executor, clock_now_ns());
        if (polled[0].revents)
            reap(loop, signals);
        start_some(loop, clock_now_ns());
    }
}

static int usage(void)
{
    fprintf(stderr, "usage: exec_loop JOBS COUNT COMMAND [ARG ...]\n");
    return 2;
}

static int complain(const struct why *why)
{
    fprintf(stderr, "exec_loop: %s\n", why->text);
    return 1;
}

static int measure(struct loop *loop, const struct executor_options *options)
{
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    int signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    struct executor_events events = {.context = loop,
                                     .finished = on_finished,
                                     .returned = on_returned,
                                     .cancelled = on_cancelled,
                                     .broken = on_broken};
    struct why why;
    if (executor_new(&command_kind, options, &events, &loop->executor, &why))
        return complain(&why);
    uint64_t begin_ns = clock_now_ns();
    run(loop, signals);
    printf("%.1f\n", (double)loop->count * 1e9 / (double)(clock_now_ns() - begin_ns));
    executor_destroy(&loop->executor);
    close(signals);
    return loop->failed ? complain(&(struct why){"some tasks failed"}) : 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], GUARD_FLAG) == 0)
        return guard_main(argc, argv);
    if (argc > 1 && strcmp(argv[1], DRAIN_FLAG) == 0)
        return drain_main();
    if (argc < 4 || atoi(argv[1]) < 1 || atoi(argv[2]) < 1)
        return usage();
    signal(SIGPIPE, SIG_IGN);
    struct loop loop = {.count = (uint64_t)atoi(argv[2]), .free_count = (unsigned)atoi(argv[1])};
    struct why why;
    if (guard_new(&loop.guard, "/proc/self/exe", &why))
        return complain(&why);
    struct executor_options options = {
        .slots = loop.free_count,
        .kill_after_ns = 10 * NS_PER_S,
        .linger_ns = 10 * NS_PER_S,
        .output_max = 16 << 20,
        .tmpdir = "/tmp",
        .worker = "bench",
        .words = argv + 3,
        .guard = loop.guard,
    };
    task_put_line(&loop.record, bytes_of("1"));
    loop.free_slots = calloc(loop.free_count, sizeof *loop.free_slots);
    for (unsigned i = 0; i < loop.free_count; i++)
        loop.free_slots[i] = i;
    int status = measure(&loop, &options);
    guard_destroy(&loop.guard);
    buf_free(&loop.record);
    free(loop.free_slots);
    return status;
}
