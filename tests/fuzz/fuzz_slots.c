/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <string.h>

#include "common/base/clock.h"
#include "tests/fuzz/messages.h"
#include "tests/fuzz/steps.h"
#include "worker/core/slots.h"

/* The worker's core under any sequence of events: connections that come and go, frames of any content
 * on control and lane, time that passes, and an executor that keeps its contract (executor.h). It must
 * use connections as slots.h says, send only what can be read, and give the executor no task that is no
 * record, and no slot that is not free.
 *
 * The first octet has the options; then come the steps. Frames of any content are one of them; others
 * make a message of the session, so that the fuzzer need not guess its head. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SLOTS = 3, BATCH_MAX = 8 };
#define JOB UINT64_C(0x0101010101010101)
#define INCARNATION 1000

/* An assignment that the executor is at. */
struct place {
    struct assignment assignment;
    uint32_t ended;     /* of its tasks */
    unsigned cancelled; /* a bit for each */
};

struct run {
    struct slots *s;
    struct steps steps;
    uint64_t now_ns;
    uint64_t session;
    uint64_t batch;
    bool control_open, control_up, lane_open, results_open, results_up, gone;
    struct place places[SLOTS];
};

/* ---- what it does ---- */

static uint32_t left(const struct place *p)
{
    return p->assignment.count - p->ended;
}

static void start(struct run *run, const struct assignment *a)
{
    assert(a->slot < SLOTS && !left(&run->places[a->slot]));
    assert(a->count >= 1 && a->count <= BATCH_MAX && a->first);
    struct bytes records = a->records;
    for (uint32_t i = 0; i < a->count; i++) {
        struct task task;
        enum error error = task_take(&records, &task);
        assert(!error);
    }
    assert(records.size == 0);
    run->places[a->slot] = (struct place){.assignment = *a};
}

static void cancel(struct run *run, const struct slots_action *a)
{
    assert(a->slot < SLOTS);
    struct place *p = &run->places[a->slot];
    uint64_t at = a->seq - p->assignment.first;
    if (at < p->assignment.count)
        p->cancelled |= 1U << at;
}

static void flip(bool *is_open, bool opens)
{
    assert(*is_open != opens);
    *is_open = opens;
}

static void act(struct run *run, struct slots_action *a)
{
    assert(!run->gone); /* nothing follows EXIT */
    switch (a->kind) {
    case SLOTS_OPEN_CONTROL:
        flip(&run->control_open, true);
        break;
    case SLOTS_CLOSE_CONTROL:
        flip(&run->control_open, false);
        run->control_up = false;
        break;
    case SLOTS_OPEN_LANE:
        flip(&run->lane_open, true);
        break;
    case SLOTS_CLOSE_LANE:
        flip(&run->lane_open, false);
        break;
    case SLOTS_OPEN_RESULTS:
        flip(&run->results_open, true);
        break;
    case SLOTS_CLOSE_RESULTS:
        flip(&run->results_open, false);
        run->results_up = false;
        break;
    case SLOTS_SEND_CONTROL:
    case SLOTS_SEND_RESULTS:
        assert(a->kind == SLOTS_SEND_CONTROL ? run->control_up : run->results_up);
        assert(message_is_sound(block_bytes(a->block)));
        block_release(&a->block);
        break;
    case SLOTS_START:
        start(run, &a->assignment);
        break;
    case SLOTS_CANCEL:
        cancel(run, a);
        break;
    case SLOTS_SAY:
    case SLOTS_HURRY:
        break;
    case SLOTS_EXIT:
        run->gone = true;
        break;
    }
}

static void turn(struct run *run)
{
    struct slots_action action;
    slots_turn(run->s, run->now_ns);
    while (slots_next_action(run->s, &action))
        act(run, &action);
    assert(run->gone || slots_deadline(run->s) > run->now_ns);
}

/* ---- connections ---- */

/* Up is told once after OPEN, and down at most once after it. */
static void change_connection(struct run *run, unsigned which)
{
    if (which == 0 && run->control_open && !run->control_up) {
        run->control_up = true;
        slots_control_up(run->s, run->now_ns);
    } else if (which == 1 && run->results_open && !run->results_up) {
        run->results_up = true;
        slots_results_up(run->s, run->now_ns);
    } else if (which == 2 && run->control_open) {
        slots_control_down(run->s, run->now_ns);
    } else if (which == 3 && run->lane_open) {
        slots_lane_down(run->s, run->now_ns);
    } else if (which == 4 && run->results_open) {
        slots_results_down(run->s, run->now_ns);
    }
}

/* What is on a connection that is closed never arrives. */
static void deliver(struct run *run, bool on_lane, struct bytes message)
{
    if (on_lane && run->lane_open)
        slots_lane_message(run->s, message, run->now_ns);
    else if (!on_lane && run->control_up)
        slots_control_message(run->s, message, run->now_ns);
}

/* ---- the ventilator ---- */

static struct buf begin(const struct run *run, enum wire_kind kind)
{
    struct buf m = {0};
    wire_begin(&m, kind, (struct frame_head){kind, JOB, INCARNATION, run->session});
    return m;
}

static void send(struct run *run, struct buf *message)
{
    unsigned kind = message->data[0];
    bool on_lane =
        kind == KIND_HELLO || kind == KIND_TASKS || kind == KIND_PIECE || kind == KIND_END;
    deliver(run, on_lane, buf_bytes(message));
    buf_free(message);
}

/* A body of any content, in the session. */
static void say(struct run *run)
{
    struct buf m = begin(run, (enum wire_kind)next_octet(&run->steps));
    buf_put_bytes(&m, next_octets(&run->steps, next_octet(&run->steps)));
    send(run, &m);
}

static struct bytes next_place(struct run *run)
{
    static const char *const places[] = {"5557", "tcp://sink:5558", "", "tcp://[::1]:1",
                                         "ipc:///s"};
    return bytes_of(places[next_octet(&run->steps) % (sizeof places / sizeof *places)]);
}

static void welcome(struct run *run)
{
    unsigned bits = next_octet(&run->steps);
    struct worker_welcome m = {
        .heartbeat_ms = 500, .limit_ms = 3000, .wants = bits & 15, .epoch = bits >> 4 & 3};
    m.lanes = next_place(run);
    m.results = next_place(run);
    m.sink.octets[0] = (uint8_t)(bits >> 6);
    next_set(&run->steps, &m.kill);
    next_set(&run->steps, &m.have);
    run->session++;
    run->batch = 0;
    struct buf to = begin(run, KIND_WELCOME);
    worker_welcome_put(&to, &m);
    send(run, &to);
    worker_welcome_free(&m);
}

static void hello(struct run *run)
{
    struct buf m = begin(run, KIND_HELLO);
    token_put(&m, &(struct token){{1}});
    send(run, &m);
}

static void put_record(struct buf *to, unsigned words)
{
    struct bytes args[] = {bytes_of("one"), bytes_of("two"), bytes_of("")};
    task_put_args(to, args, 1 + words % 3);
}

static void give_tasks(struct run *run)
{
    unsigned bits = next_octet(&run->steps);
    struct task_run tasks = {.first = 1 + next_octet(&run->steps),
                             .count = 1 + (bits & 15),
                             .number = 1 + (bits >> 7),
                             .tries = 1,
                             .flags = bits >> 4 & 3};
    struct buf m = begin(run, KIND_TASKS), records = {0};
    for (uint64_t i = 0; i < tasks.count; i++)
        put_record(&records, (unsigned)i);
    tasks.records = buf_bytes(&records);
    tasks_begin(&m, ++run->batch);
    task_run_put(&m, &tasks);
    buf_free(&records);
    send(run, &m);
}

/* A part of a record, or the batch that ends it. */
static void give_piece(struct run *run)
{
    unsigned bits = next_octet(&run->steps);
    uint64_t seq = 1 + (bits >> 5);
    struct buf record = {0}, m;
    put_record(&record, bits);
    size_t half = record.size / 2, from = bits & 4 ? half : 0, to = bits & 8 ? half : record.size;
    if (bits & 16) {
        m = begin(run, KIND_TASKS);
        tasks_begin(&m, ++run->batch);
        task_run_put(&m,
                     &(struct task_run){
                         .first = seq, .count = 1, .number = 1, .tries = 1, .flags = TASK_PIECES});
    } else {
        m = begin(run, KIND_PIECE);
        piece_put(&m, &(struct piece){.seq = seq,
                                      .attempt = {INCARNATION, 1},
                                      .offset = from,
                                      .total = record.size,
                                      .content = {record.data + from, to > from ? to - from : 0}});
    }
    send(run, &m);
    buf_free(&record);
}

static void release_or_cancel(struct run *run)
{
    unsigned bits = next_octet(&run->steps);
    struct buf m;
    if (bits & 1) {
        struct released released = {0};
        next_set(&run->steps, &released.tasks);
        m = begin(run, KIND_RELEASED);
        released_put(&m, &released);
        released_free(&released);
    } else {
        struct cancel_item item = {
            1 + next_octet(&run->steps), {INCARNATION, 1 + (bits >> 1 & 1)}, bits >> 2};
        m = begin(run, KIND_CANCEL);
        cancel_put(&m, &(struct cancel){&item, 1});
    }
    send(run, &m);
}

/* Kinds with one number, or two. */
static void tell(struct run *run)
{
    static const enum wire_kind kinds[] = {KIND_RECALL, KIND_RESEND, KIND_ENDED, KIND_END};
    unsigned bits = next_octet(&run->steps), number = next_octet(&run->steps);
    struct buf m;
    switch (bits % 8) {
    case 4:
        m = begin(run, KIND_STOP);
        stop_put(&m, &(struct stop){bits >> 7, run->batch});
        break;
    case 5:
        m = begin(run, KIND_REFUSE);
        refuse_put(&m, &(struct refuse){number & 7, bytes_of("no")});
        break;
    case 6:
        m = begin(run, KIND_SINK);
        sink_news_put(&m, &(struct sink_news){.epoch = number & 3,
                                              .results = next_place(run),
                                              .wants = number >> 4});
        break;
    case 7:
        m = begin(run, KIND_HEARTBEAT);
        heartbeat_put(&m, &(struct heartbeat){.clock_ns = run->now_ns - number * NS_PER_MS});
        break;
    case 2:
        m = begin(run, KIND_AGAIN);
        again_put(&m, &(struct again){number, AGAIN_UNKNOWN_SESSION, bytes_of("no")});
        break;
    default:
        m = begin(run, kinds[bits % 8]);
        number_put(&m, number);
    }
    send(run, &m);
}

/* ---- the executor ---- */

static void finish(struct run *run, struct place *p, unsigned bits)
{
    static const enum result_status how[] = {RESULT_OK, RESULT_EXITED, RESULT_SIGNALED,
                                             RESULT_TIMED_OUT};
    const struct assignment *a = &p->assignment;
    struct outcome outcome = {.slot = a->slot,
                              .seq = a->first + p->ended++,
                              .status = how[bits & 3],
                              .code = bits & 3 ? 1 : 0,
                              .start_us = 1,
                              .duration_ns = bits * NS_PER_MS,
                              .out = {.bytes = bytes_of("out"), .fd = -1, .size = 3},
                              .err = {.fd = -1},
                              .command = bytes_of("c")};
    slots_finished(run->s, &outcome, run->now_ns);
}

/* As a plugin tells it, of tasks that are not cancelled. */
static void finish_all(struct run *run, struct place *p, bool failed)
{
    struct buf records = {0};
    uint32_t count = left(p);
    for (uint32_t i = 0; i < count; i++)
        result_put(&records, &(struct result){.final = !failed || p->assignment.last,
                                              .status = failed ? RESULT_EXITED : RESULT_OK,
                                              .code = failed,
                                              .out = bytes_of("out")});
    struct outcome_run all = {.slot = p->assignment.slot,
                              .first = p->assignment.first + p->ended,
                              .count = count,
                              .failed = failed ? count : 0,
                              .final = !failed || p->assignment.last,
                              .duration_ns = count * NS_PER_MS,
                              .records = buf_bytes(&records)};
    p->ended += count;
    slots_finished_run(run->s, &all, run->now_ns);
    buf_free(&records);
}

static void end_tasks(struct run *run)
{
    unsigned bits = next_octet(&run->steps);
    struct place *p = &run->places[bits % SLOTS];
    if (!left(p))
        return;
    unsigned slot = p->assignment.slot;
    uint64_t seq = p->assignment.first + p->ended;
    bool none_cancelled = p->cancelled >> p->ended == 0;
    bits /= SLOTS;
    if (p->cancelled >> p->ended & 1 && bits & 4) {
        p->ended++;
        slots_cancelled(run->s, slot, seq, run->now_ns);
    } else if (none_cancelled && bits >> 3 == 1) {
        uint32_t count = left(p);
        p->ended += count;
        slots_returned(run->s, slot, seq, count, run->now_ns);
    } else if (none_cancelled && bits >> 3 == 2) {
        finish_all(run, p, bits & 1);
    } else {
        finish(run, p, bits);
    }
}

/* ---- the shell ---- */

static void wish(struct run *run)
{
    unsigned bits = next_octet(&run->steps);
    switch (bits % 8) {
    case 0:
        slots_drain(run->s, run->now_ns);
        break;
    case 1:
        slots_abort(run->s, run->now_ns);
        break;
    case 2:
        slots_broken(run->s, "broken", run->now_ns);
        break;
    case 3:
        slots_results_pending(run->s, (uint64_t)bits << 20);
        break;
    default: {
        struct why why;
        slots_waits_for(run->s, run->now_ns, &why);
    }
    }
}

static void do_step(struct run *run, unsigned kind)
{
    unsigned number;
    switch (kind) {
    case 0:
        change_connection(run, next_octet(&run->steps) % 5);
        break;
    case 1:
        deliver(run, false, next_frame(&run->steps));
        break;
    case 2:
        deliver(run, true, next_frame(&run->steps));
        break;
    case 3:
        say(run);
        break;
    case 4:
        welcome(run);
        break;
    case 5:
        hello(run);
        break;
    case 6:
        give_tasks(run);
        break;
    case 7:
        give_piece(run);
        break;
    case 8:
        release_or_cancel(run);
        break;
    case 9:
        tell(run);
        break;
    case 10:
    case 11:
        end_tasks(run);
        break;
    case 12:
        number = next_octet(&run->steps);
        run->now_ns += number % 16 * (number / 16 + 1) * 10 * NS_PER_MS;
        break;
    default:
        wish(run);
    }
}

/* Most steps end in a turn; the top bit says that the next event comes in the same one. */
static void step(struct run *run)
{
    unsigned octet = next_octet(&run->steps);
    do_step(run, (octet & 0x7f) % 14);
    if (!(octet & 0x80))
        turn(run);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run run = {.steps = {data, data + size}, .now_ns = 1000 * NS_PER_S};
    unsigned bits = next_octet(&run.steps);
    struct slots_options options = {.slots = SLOTS,
                                    .batch_max = BATCH_MAX,
                                    .peer = {.instance = 5, .name = bytes_of("w"), .pid = 1},
                                    .kept_max_bytes = bits & 1 ? 2000 : 1 << 20,
                                    .tmpdir = "/tmp",
                                    .give_up_ns = 60 * NS_PER_S,
                                    .stay = bits & 2,
                                    .lanes = bits & 4 ? "tcp://gate:1" : NULL,
                                    .results = bits & 8 ? "tcp://sink:1" : NULL,
                                    .connect = bits & 16 ? "ipc:///c" : "tcp://farm:5556",
                                    .random_seed = 1};
    run.s = slots_new(&options, run.now_ns);
    turn(&run);
    while (run.steps.at < run.steps.end && !run.gone)
        step(&run);
    if (!run.gone)
        turn(&run);
    slots_destroy(&run.s);
    return 0;
}
