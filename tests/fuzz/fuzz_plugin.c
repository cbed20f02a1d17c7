/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "tests/fuzz/steps.h"
#include "worker/exec/executor_kind.h"
#include "worker/exec/plugin.h"
#include "worker/exec/plugin_link.h"

/* A plugin's process that has gone mad: it says anything on its link, and scribbles on the area that it
 * shares with the worker (plugin_link.h). There is no process, only the two: the spawner is one of our own. Each task
 * of an assignment must end once, in order, whatever is said; when the slot has had enough and would kill, it is
 * over. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TASKS_MAX = 8, FIRST = 10, OUTPUT_MAX = 200 };

struct run {
    struct executor *executor;
    struct steps steps;
    uint64_t now_ns;
    struct buf records;
    uint32_t count; /* of the assignment */
    bool ended[TASKS_MAX];
    bool cancelled[TASKS_MAX];
};

/* What the process has. */
static int child_link;
static struct plugin_area *child_area;

void spawner_init(struct spawner *spawner)
{
    *spawner = (struct spawner){0};
}

/* Starts nothing: number 0 is signalled by nobody. */
int spawner_start(const struct spawner *spawner, const struct spawn *spawn, pid_t *pid)
{
    (void)spawner;
    child_area = plugin_area_map(spawn->fds[PLUGIN_AREA_FD]);
    child_link = dup(spawn->fds[PLUGIN_LINK_FD]);
    assert(child_area && child_link >= 0);
    *pid = 0;
    return 0;
}

static const struct executor_slot *the_slot(const struct run *run)
{
    return executor_slot_at(run->executor, 0);
}

static bool is_killed(const struct run *run)
{
    return the_slot(run)->state == EXECUTOR_KILLED;
}

/* ---- what the slot tells ---- */

static void end_task(struct run *run, uint64_t seq)
{
    uint64_t at = seq - FIRST;
    assert(at < run->count && !run->ended[at]);
    run->ended[at] = true;
}

/* What finishes does so in order; what is returned may stand behind what goes on. */
static void must_be_next(const struct run *run, uint64_t seq)
{
    for (uint64_t i = 0; i < seq - FIRST; i++)
        assert(run->ended[i]);
}

static void on_finished(void *context, const struct outcome *outcome)
{
    struct run *run = context;
    must_be_next(run, outcome->seq);
    end_task(run, outcome->seq);
    assert(!run->cancelled[outcome->seq - FIRST]);
    assert(outcome->out.fd < 0 && outcome->err.fd < 0);
    assert(outcome->out.bytes.size <= OUTPUT_MAX);
}

static void on_finished_run(void *context, const struct outcome_run *told)
{
    struct run *run = context;
    struct outcome_run left = *told;
    struct outcome outcome;
    uint32_t count = 0, failed = 0;
    for (; outcome_run_next(&left, &outcome); count++) {
        failed += outcome.status != RESULT_OK;
        on_finished(context, &outcome);
    }
    assert(count == told->count && failed == told->failed && !left.records.size);
    assert(told->slot == 0 && run->count);
}

static void on_returned(void *context, unsigned slot, uint64_t first, uint32_t count)
{
    assert(slot == 0 && count);
    for (uint32_t i = 0; i < count; i++)
        end_task(context, first + i);
}

static void on_cancelled(void *context, unsigned slot, uint64_t seq)
{
    struct run *run = context;
    end_task(context, seq);
    assert(slot == 0 && run->cancelled[seq - FIRST]);
}

static void on_broken(void *context, const char *why)
{
    (void)context;
    (void)why;
    assert(false); /* no child was ever started here */
}

/* ---- what happens ---- */

static void assign(struct run *run)
{
    unsigned bits = next_octet(&run->steps);
    if (the_slot(run)->batch.assigned)
        return;
    buf_clear(&run->records);
    run->count = 1 + bits % TASKS_MAX;
    memset(run->ended, 0, sizeof run->ended);
    memset(run->cancelled, 0, sizeof run->cancelled);
    for (uint32_t i = 0; i < run->count; i++)
        task_put_line(&run->records, bytes_of("a task"));
    struct assignment assignment = {.first = FIRST,
                                    .count = run->count,
                                    .attempt = {1000, 1},
                                    .tries = 1,
                                    .last = bits >> 4 & 1,
                                    .wants = bits >> 5,
                                    .records = buf_bytes(&run->records)};
    executor_start(run->executor, &assignment, run->now_ns);
}

static void cancel(struct run *run)
{
    unsigned at = next_octet(&run->steps) % TASKS_MAX;
    if (the_slot(run)->batch.assigned && at < run->count && !run->ended[at])
        run->cancelled[at] = true;
    executor_cancel(run->executor, 0, FIRST + at, run->now_ns);
}

static void say(const void *data, size_t size)
{
    /* What does not fit is lost: nobody else reads here. */
    ssize_t sent = size ? send(child_link, data, size, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
    (void)sent;
}

static void say_report(struct run *run)
{
    unsigned kind = next_octet(&run->steps);
    struct plugin_report report = {.kind = kind % 10};
    if (report.kind == PLUGIN_UNUSABLE || report.kind == PLUGIN_NOT_READY)
        report.size = kind / 10;
    say(&report, sizeof report);
}

static void say_large(struct run *run)
{
    unsigned bits = next_octet(&run->steps);
    struct bytes out = next_octets(&run->steps, next_octet(&run->steps));
    struct plugin_result result = {.start_ns = bits & 1,
                                   .duration_ns = bits,
                                   .out_size = out.size,
                                   .err_size = bits >> 4,
                                   .code = bits >> 1 & 1,
                                   .too_large = bits >> 2 & 1};
    struct plugin_report report = {.kind = PLUGIN_LARGE};
    report.size = sizeof result + result.out_size + result.err_size;
    say(&report, sizeof report);
    say(&result, sizeof result);
    say(out.data, out.size);
    say("0123456789abcdef", result.err_size);
}

static void write_area(struct bytes bytes)
{
    struct plugin_area *area = child_area;
    uint64_t written = atomic_load(&area->written);
    if (written > sizeof area->results - bytes.size)
        return;
    if (bytes.size)
        memcpy(area->results + written, bytes.data, bytes.size);
    atomic_store(&area->written, written + bytes.size);
}

static void write_result(struct run *run)
{
    unsigned bits = next_octet(&run->steps);
    struct buf record = {0};
    result_put(&record, &(struct result){.final = bits & 1,
                                         .status = bits & 2 ? RESULT_EXITED : RESULT_OK,
                                         .code = bits >> 1 & 1,
                                         .start_us = bits >> 2 & 1,
                                         .duration_ns = bits,
                                         .out = {(const uint8_t *)"out", bits >> 6}});
    write_area(buf_bytes(&record));
    buf_free(&record);
}

static void scribble(struct run *run)
{
    struct plugin_area *area = child_area;
    unsigned what = next_octet(&run->steps);
    uint64_t value = next_octet(&run->steps);
    switch (what % 6) {
    case 0:
        atomic_store(&area->at, FIRST + value % (TASKS_MAX + 1));
        break;
    case 1:
        atomic_store(&area->at, value << 56);
        break;
    case 2:
        atomic_store(&area->since_ns, run->now_ns - value * NS_PER_MS);
        break;
    case 3:
        atomic_store(&area->written, what >> 7 ? value << 56 | value : value);
        break;
    case 4:
        atomic_store(&area->busy_ns, value << (what >> 2));
        break;
    default:
        atomic_store(&area->stop_at, value);
    }
}

/* The turns until all is read that was said, or the slot has had enough. */
static void turn(struct run *run)
{
    uint8_t orders[4096];
    for (int turns = 0; turns < 8 && !is_killed(run); turns++)
        executor_turn(run->executor, run->now_ns);
    while (recv(child_link, orders, sizeof orders, MSG_DONTWAIT) > 0)
        ;
}

static void step(struct run *run)
{
    struct bytes octets;
    switch (next_octet(&run->steps) % 11) {
    case 0:
        assign(run);
        break;
    case 1:
        cancel(run);
        break;
    case 2:
        say_report(run);
        break;
    case 3:
        say_large(run);
        break;
    case 4:
        octets = next_octets(&run->steps, next_octet(&run->steps));
        say(octets.data, octets.size);
        break;
    case 5:
        write_area(next_octets(&run->steps, next_octet(&run->steps)));
        break;
    case 6:
    case 7:
        write_result(run);
        break;
    case 8:
        scribble(run);
        break;
    case 9:
        run->now_ns += next_octet(&run->steps) * NS_PER_MS;
        executor_turn(run->executor, run->now_ns);
        break;
    default:
        turn(run);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct run run;
    run = (struct run){.steps = {data, data + size}, .now_ns = 1000 * NS_PER_S};
    unsigned bits = next_octet(&run.steps);
    const struct executor_options options = {.slots = 1,
                                             .timeout = {.ns = bits & 1 ? 100 * NS_PER_MS : 0},
                                             .output_max = OUTPUT_MAX,
                                             .patience_ns = PATIENCE_NS,
                                             .tmpdir = "/tmp",
                                             .worker = "fuzz",
                                             .plugin = "plugin.so"};
    const struct executor_events events = {.context = &run,
                                           .finished = on_finished,
                                           .finished_run = on_finished_run,
                                           .returned = on_returned,
                                           .cancelled = on_cancelled,
                                           .broken = on_broken};
    struct executor_kind kind = plugin_kind;
    kind.check = NULL; /* nothing is ever loaded */
    struct why why;
    enum error error = executor_new(&kind, &options, &events, &run.executor, &why);
    assert(!error);
    while (run.steps.at < run.steps.end && !is_killed(&run))
        step(&run);
    turn(&run);
    executor_destroy(&run.executor);
    close(child_link);
    munmap(child_area, sizeof *child_area);
    buf_free(&run.records);
    return 0;
}
