/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "tests/fuzz/steps.h"
#include "worker/exec/plugin_slot.h"

/* A plugin's process that has gone mad: it says anything on its link, and scribbles on the area that it
 * shares with the worker (plugin_link.h). There is no process, only the two. Each task of an assignment
 * must end once, in order, whatever is said; when the slot has had enough and would kill, it is over. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TASKS_MAX = 8, FIRST = 10, OUTPUT_MAX = 200 };

struct run {
    struct plugin_shared shared;
    struct plugin_slot slot;
    struct steps steps;
    uint64_t now_ns;
    int link; /* the child's end */
    struct buf records;
    uint32_t count; /* of the assignment */
    bool ended[TASKS_MAX];
    bool cancelled[TASKS_MAX];
};

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
    if (run->slot.batch.assigned)
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
    plugin_slot_assign(&run->shared, &run->slot, &assignment, run->now_ns);
}

static void cancel(struct run *run)
{
    unsigned at = next_octet(&run->steps) % TASKS_MAX;
    if (run->slot.batch.assigned && at < run->count && !run->ended[at])
        run->cancelled[at] = true;
    plugin_slot_cancel(&run->slot, FIRST + at, run->now_ns);
}

static void say(struct run *run, const void *data, size_t size)
{
    /* What does not fit is lost: nobody else reads here. */
    ssize_t sent = size ? send(run->link, data, size, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
    (void)sent;
}

static void say_report(struct run *run)
{
    unsigned kind = next_octet(&run->steps);
    struct plugin_report report = {.kind = kind % 10};
    if (report.kind == PLUGIN_UNUSABLE || report.kind == PLUGIN_NOT_READY)
        report.size = kind / 10;
    say(run, &report, sizeof report);
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
    say(run, &report, sizeof report);
    say(run, &result, sizeof result);
    say(run, out.data, out.size);
    say(run, "0123456789abcdef", result.err_size);
}

static void write_area(struct run *run, struct bytes bytes)
{
    struct plugin_area *area = run->slot.child.area;
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
    write_area(run, buf_bytes(&record));
    buf_free(&record);
}

static void scribble(struct run *run)
{
    struct plugin_area *area = run->slot.child.area;
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

static void hear(struct run *run)
{
    uint8_t orders[4096];
    while (run->slot.state != SLOT_KILLED &&
           plugin_slot_hear(&run->shared, &run->slot, run->now_ns))
        ;
    while (recv(run->link, orders, sizeof orders, MSG_DONTWAIT) > 0)
        ;
    plugin_slot_flush(&run->shared, &run->slot);
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
        say(run, octets.data, octets.size);
        break;
    case 5:
        write_area(run, next_octets(&run->steps, next_octet(&run->steps)));
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
        plugin_slot_turn(&run->shared, &run->slot, run->now_ns);
        break;
    default:
        hear(run);
    }
}

static void connect_both(struct run *run)
{
    int ends[2];
    int wrong = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);
    void *area = mmap(NULL, sizeof(struct plugin_area), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert(!wrong && area != MAP_FAILED);
    run->slot.child.link = ends[0];
    run->link = ends[1];
    run->slot.child.area = area;
    run->slot.child.sent = sizeof run->slot.child.order; /* nothing is on its way */
    run->slot.state = SLOT_STARTING;
    run->slot.look_ns = NEVER;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct run run;
    run = (struct run){.steps = {data, data + size}, .now_ns = 1000 * NS_PER_S};
    unsigned bits = next_octet(&run.steps);
    run.shared = (struct plugin_shared){
        .options = {.slots = 1},
        .events = {&run, on_finished, on_finished_run, on_returned, on_cancelled, on_broken, NULL},
        .limits = {.tmpdir = "/tmp", .output_max = OUTPUT_MAX},
        .limit = {.timeout = {.ns = bits & 1 ? 100 * NS_PER_MS : 0}},
        .patience_ns = PATIENCE_NS,
        .epoll = -1};
    run.shared.children.epoll = -1;
    plugin_slot_init(&run.shared, &run.slot, 0);
    connect_both(&run);
    while (run.steps.at < run.steps.end && run.slot.state != SLOT_KILLED)
        step(&run);
    if (run.slot.state != SLOT_KILLED)
        hear(&run);
    close(run.link);
    plugin_slot_free(&run.slot);
    buf_free(&run.records);
    return 0;
}
