/* SPDX-License-Identifier: MPL-2.0 */
#include <stdlib.h>

#include "tests/unit/slots_rig.h"

/* Whatever arrives in whatever order: the core does not fall over, and an executor that keeps its
 * contract is never asked for what it cannot do. */
enum { SLOTS = 3, ROUNDS = 60, STEPS = 4000 };

static struct rig r;
static uint64_t random_state;

static uint64_t chance(uint64_t below)
{
    random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (random_state >> 33) % below;
}

/* What the executor is at. */
static struct place {
    uint64_t next;
    uint64_t end;
} places[SLOTS];
static bool control_open, control_up, lane_open, results_open, results_up, gone;

static void start(const struct assignment *a)
{
    cr_assert_eq(places[a->slot].next, places[a->slot].end, "the slot is free");
    places[a->slot] = (struct place){a->first, a->first + a->count};
}

static void drain_actions(void)
{
    struct slots_action a;
    slots_turn(r.s, r.now_ns);
    while (slots_next_action(r.s, &a)) {
        cr_assert(!gone, "nothing follows EXIT");
        if (a.kind == SLOTS_OPEN_CONTROL) {
            cr_assert(!control_open);
            control_open = true;
        } else if (a.kind == SLOTS_CLOSE_CONTROL) {
            cr_assert(control_open);
            control_open = control_up = false;
        } else if (a.kind == SLOTS_OPEN_LANE) {
            cr_assert(!lane_open);
            lane_open = true;
        } else if (a.kind == SLOTS_CLOSE_LANE) {
            cr_assert(lane_open);
            lane_open = false;
        } else if (a.kind == SLOTS_OPEN_RESULTS) {
            cr_assert(!results_open);
            results_open = true;
        } else if (a.kind == SLOTS_CLOSE_RESULTS) {
            cr_assert(results_open);
            results_open = results_up = false;
        } else if (a.kind == SLOTS_SEND_CONTROL) {
            cr_assert(control_up);
        } else if (a.kind == SLOTS_SEND_RESULTS) {
            cr_assert(results_up);
        } else if (a.kind == SLOTS_START) {
            start(&a.assignment);
        } else if (a.kind == SLOTS_EXIT) {
            gone = true;
        }
        if (a.kind == SLOTS_SEND_CONTROL || a.kind == SLOTS_SEND_RESULTS)
            block_release(&a.block);
    }
}

static void executor_step(void)
{
    unsigned slot = (unsigned)chance(SLOTS);
    struct place *p = &places[slot];
    if (p->next == p->end)
        return;
    uint64_t what = chance(20);
    uint64_t seq = p->next++;
    if (what == 0)
        slots_cancelled(r.s, slot, seq, r.now_ns);
    else if (what == 1)
        slots_returned(r.s, slot, seq, 1, r.now_ns);
    else
        slots_finished(r.s,
                       &(struct outcome){.slot = slot,
                                         .seq = seq,
                                         .status = what < 5 ? RESULT_EXITED : RESULT_OK,
                                         .duration_ns = chance(NS_PER_MS),
                                         .out = {.bytes = bytes_of("some output"), .fd = -1},
                                         .err = {.fd = -1}},
                       r.now_ns);
}

/* The message with a few bytes changed, or cut: on either connection. */
static void noise(void)
{
    struct buf message = {0};
    static const uint8_t kinds[] = {KIND_WELCOME, KIND_REFUSE, KIND_AGAIN,    KIND_HEARTBEAT,
                                    KIND_RECALL,  KIND_CANCEL, KIND_RELEASED, KIND_SINK,
                                    KIND_RESEND,  KIND_TASKS,  KIND_END,      KIND_HELLO,
                                    KIND_PIECE};
    wire_begin(&message, kinds[chance(sizeof kinds)],
               (struct frame_head){0, JOB, r.incarnation, r.session});
    for (uint64_t i = chance(40); i > 0; i--)
        buf_put_byte(&message, (uint8_t)chance(chance(2) ? 256 : 6));
    if (chance(4) == 0)
        message.data[chance(message.size)] ^= (uint8_t)(1 << chance(8));
    if (chance(8) == 0)
        message.size = chance(message.size + 1);
    if (chance(2))
        slots_control_message(r.s, buf_bytes(&message), r.now_ns);
    else
        slots_lane_message(r.s, buf_bytes(&message), r.now_ns);
    buf_free(&message);
}

static void connection_step(void)
{
    uint64_t what = chance(40);
    if (control_open && !control_up && what < 35) {
        control_up = true;
        slots_control_up(r.s, r.now_ns);
    } else if (results_open && !results_up && what < 35) {
        results_up = true;
        slots_results_up(r.s, r.now_ns);
    } else if (control_open && what == 35) {
        slots_control_down(r.s, r.now_ns);
    } else if (lane_open && what == 36) {
        slots_lane_down(r.s, r.now_ns);
    } else if (results_open && what == 37) {
        slots_results_down(r.s, r.now_ns);
    }
}

/* A task in two pieces, and the batch that ends it; now and then one of the three is missing. */
static void v_in_pieces(uint64_t seq)
{
    struct buf record = {0};
    task_put_line(&record, bytes_of("a line in two pieces"));
    for (size_t part = 0; part < 3; part++) {
        struct buf body = {0};
        size_t from = part ? record.size / 2 : 0, to = part ? record.size : record.size / 2;
        struct piece piece = {.seq = seq,
                              .attempt = {r.incarnation, 1},
                              .offset = from,
                              .total = record.size,
                              .content = {record.data + from, to - from}};
        struct task_run run = {.first = seq, .count = 1, .number = 1, .flags = TASK_PIECES};
        if (chance(30) == 0)
            continue;
        if (part == 2)
            tasks_begin(&body, ++r.batch);
        if (part == 2)
            task_run_put(&body, &run);
        else
            piece_put(&body, &piece);
        v_says(&r, part == 2 ? KIND_TASKS : KIND_PIECE, &body);
    }
    buf_free(&record);
}

static void ventilator_step(void)
{
    switch (chance(15)) {
    case 0:
        v_welcome(&r, (struct worker_welcome){0});
        break;
    case 1:
        v_hello(&r);
        break;
    case 2:
    case 3:
    case 4:
    case 5:
        v_tasks(&r, 1 + chance(300), 1 + chance(30), chance(4));
        break;
    case 6:
        v_released(&r, 1 + chance(300), 301 + chance(30));
        break;
    case 7:
        v_cancel(&r, 1 + chance(300), chance(10));
        break;
    case 8:
        v_says_number(&r, KIND_RECALL, chance(20));
        break;
    case 9:
        v_says_number(&r, KIND_RESEND, chance(20));
        break;
    case 10:
        v_sink(&r, chance(3), "tcp://sink:5558");
        break;
    case 11:
        if (chance(40) == 0)
            v_end(&r);
        break;
    case 13:
        v_in_pieces(1 + chance(300));
        break;
    case 12:
        if (chance(300) == 0)
            v_stop(&r, STOP_JOB_OVER);
        break;
    default:
        v_heartbeat(&r, r.session);
        break;
    }
}

static void round_begin(uint64_t seed)
{
    random_state = seed;
    rig_begin(&r);
    r.options.slots = SLOTS;
    r.options.batch_max = 8;
    r.options.stay = chance(2);
    r.options.kept_max_bytes = chance(2) ? 2000 : 1 << 20;
    control_open = control_up = lane_open = results_open = results_up = gone = false;
    for (int i = 0; i < SLOTS; i++)
        places[i] = (struct place){0, 0};
    rig_start(&r);
}

TestSuite(slots_fuzz, .timeout = 120);

Test(slots_fuzz, nothing_that_arrives_in_any_order_makes_the_core_fall_over)
{
    uint64_t finished = 0;
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        round_begin(seed);
        for (int i = 0; i < STEPS && !gone; i++) {
            r.now_ns += chance(chance(50) ? NS_PER_MS : NS_PER_S);
            connection_step();
            executor_step();
            ventilator_step();
            if (chance(4) == 0)
                noise();
            if (chance(2000) == 0)
                slots_drain(r.s, r.now_ns);
            if (chance(8000) == 0)
                slots_broken(r.s, "broken", r.now_ns);
            drain_actions();
            cr_assert(gone || slots_deadline(r.s) > r.now_ns, "a turn does all that is due");
        }
        finished += slots_counts(r.s).finished;
        rig_end(&r);
    }
    cr_assert_gt(finished, 1000);
}
