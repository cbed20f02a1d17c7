/* SPDX-License-Identifier: MPL-2.0 */

/* plugin_loop SLOTS BATCH MILLIONS FILE.so [ARG ...]
 *
 * That many million tasks (small numbers) through the worker's plugin executor, in the loop that a
 * worker has but without a farm around it: what the executor and its children alone cost. Prints
 * the time and the processors' time per task, ours and the children's. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "common/base/clock.h"
#include "worker/exec/plugin.h"
#include "worker/exec/plugin_host.h"

struct loop {
    struct executor *executor;
    struct buf records; /* of one batch; the same for all */
    uint32_t batch;
    uint64_t next; /* number of the next task */
    uint64_t last;
    uint64_t finished;
    uint64_t bytes;
    uint32_t *left; /* by slot: tasks of the assignment that have not finished */
};

static void give(struct loop *loop, unsigned slot)
{
    struct assignment assignment = {.slot = slot,
                                    .first = loop->next,
                                    .count = loop->batch,
                                    .attempt = {1, 1},
                                    .tries = 1,
                                    .records = buf_bytes(&loop->records)};
    if (loop->next > loop->last)
        return;
    loop->next += loop->batch;
    loop->left[slot] = loop->batch;
    executor_start(loop->executor, &assignment, clock_now_ns());
}

static void on_finished(void *context, const struct outcome *outcome)
{
    struct loop *loop = context;
    if (outcome->status != RESULT_OK)
        abort();
    loop->finished++;
    loop->bytes += outcome->out.size;
    if (!--loop->left[outcome->slot])
        give(loop, outcome->slot);
}

static void on_finished_run(void *context, const struct outcome_run *run)
{
    struct loop *loop = context;
    if (run->failed)
        abort();
    loop->finished += run->count;
    loop->bytes += run->records.size;
    if (!(loop->left[run->slot] -= run->count))
        give(loop, run->slot);
}

static void on_returned(void *context, unsigned slot, uint64_t first, uint32_t count)
{
    (void)context, (void)slot, (void)first, (void)count;
    abort();
}

static void on_cancelled(void *context, unsigned slot, uint64_t seq)
{
    (void)context, (void)slot, (void)seq;
    abort();
}

static void on_broken(void *context, const char *why)
{
    (void)context;
    fprintf(stderr, "plugin_loop: %s\n", why);
    exit(1);
}

static void run(struct loop *loop, unsigned slots)
{
    for (unsigned slot = 0; slot < slots; slot++)
        give(loop, slot);
    while (loop->finished < loop->last) {
        struct pollfd fd = {.fd = executor_fd(loop->executor), .events = POLLIN};
        poll(&fd, 1, 1000);
        executor_turn(loop->executor, clock_now_ns());
    }
}

static double cpu_s(int who)
{
    struct rusage usage;
    getrusage(who, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void make_records(struct loop *loop)
{
    for (uint32_t i = 0; i < loop->batch; i++) {
        char text[16];
        int length = snprintf(text, sizeof text, "%u", 1000000 + i);
        task_put_line(&loop->records, (struct bytes){(uint8_t *)text, (size_t)length});
    }
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], PLUGIN_HOST_FLAG))
        return plugin_host_main(argc, argv);
    if (argc < 5) {
        fprintf(stderr, "usage: plugin_loop SLOTS BATCH MILLIONS FILE.so [ARG ...]\n");
        return 255;
    }
    unsigned slots = (unsigned)atoi(argv[1]);
    struct loop loop = {.batch = (uint32_t)atoi(argv[2]), .next = 1};
    loop.last = (uint64_t)(atof(argv[3]) * 1e6) / loop.batch * loop.batch;
    uint32_t left[256] = {0};
    loop.left = left;
    struct executor_options options = {.slots = slots,
                                       .output_max = 1 << 24,
                                       .tmpdir = "/tmp",
                                       .worker = "bench",
                                       .plugin = argv[4],
                                       .words = argv + 5,
                                       .program = "/proc/self/exe"};
    struct executor_events events = {.context = &loop,
                                     .finished = on_finished,
                                     .finished_run = on_finished_run,
                                     .returned = on_returned,
                                     .cancelled = on_cancelled,
                                     .broken = on_broken};
    struct why why;
    if (slots < 1 || slots > 256 ||
        executor_new(&plugin_kind, &options, &events, &loop.executor, &why)) {
        fprintf(stderr, "plugin_loop: %s\n", why.text);
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    make_records(&loop);
    uint64_t start_ns = clock_now_ns();
    run(&loop, slots);
    double n = (double)loop.finished, ns = (double)(clock_now_ns() - start_ns);
    double own_s = cpu_s(RUSAGE_SELF);
    executor_destroy(&loop.executor);
    double children_s = cpu_s(RUSAGE_CHILDREN);
    printf("%.0f tasks, %u slots, batches of %u: %.1f ns/task, %.2f M tasks/s; processor: executor "
           "%.1f ns, children %.1f ns a task; %.1f bytes a result\n",
           n, slots, loop.batch, ns / n, n / ns * 1e3, own_s * 1e9 / n, children_s * 1e9 / n,
           (double)loop.bytes / n);
    buf_free(&loop.records);
    return 0;
}
