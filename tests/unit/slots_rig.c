/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/slots_rig.h"
#include "tests/unit/said.h"

#include <inttypes.h>
#include <string.h>

void rig_begin(struct rig *r)
{
    *r = (struct rig){.now_ns = 1000 * NS_PER_S, .incarnation = 1000};
    r->options = (struct slots_options){.slots = 2,
                                        .batch_max = 1,
                                        .peer = {.instance = 5, .name = bytes_of("w"), .pid = 1},
                                        .kept_max_bytes = 16 << 20,
                                        .tmpdir = "/tmp",
                                        .give_up_ns = 60 * NS_PER_S,
                                        .connect = "tcp://farm:5556",
                                        .random_seed = 1};
}

void rig_start(struct rig *r)
{
    r->s = slots_new(&r->options, r->now_ns);
}

void rig_end(struct rig *r)
{
    slots_destroy(&r->s);
    block_release(&r->results);
    buf_free(&r->said);
}

/* ---- what the core says ---- */

static void say_join(struct rig *r, struct frame_head head, struct bytes body)
{
    struct worker_join m = {0};
    cr_assert_eq(worker_join_take(body, &m), ERR_NONE);
    buf_put_text(&r->said, "JOIN");
    for (size_t i = 0; i < m.running.count; i++)
        buf_printf(&r->said, "%s%" PRIu64, i ? "," : " run=", m.running.items[i].seq);
    if (m.kept.count)
        buf_put_text(&r->said, " kept=");
    said_ranges(&r->said, &m.kept);
    if (head.session)
        buf_printf(&r->said, " of=%" PRIu64, head.session);
    if (m.flags & WORKER_LEAVING)
        buf_put_text(&r->said, " leaving");
    worker_join_free(&m);
}

static void say_finished(struct rig *r, struct bytes body)
{
    struct finished m = {0};
    cr_assert_eq(finished_take(body, &m), ERR_NONE);
    buf_put_text(&r->said, "FINISHED ");
    said_ranges(&r->said, &m.tasks);
    if (m.failed)
        buf_printf(&r->said, " failed=%" PRIu64, m.failed);
    finished_free(&m);
}

static void say_failed(struct rig *r, struct bytes body)
{
    struct attempt_list m = {0};
    cr_assert_eq(attempt_list_take(body, &m), ERR_NONE);
    buf_put_text(&r->said, "FAILED");
    for (size_t i = 0; i < m.count; i++)
        buf_printf(&r->said, " %" PRIu64 "#%u", m.items[i].seq, m.items[i].attempt.number);
    attempt_list_free(&m);
}

static void say_results(struct rig *r, struct bytes body)
{
    struct results_head head;
    struct bytes runs;
    struct result_run run;
    cr_assert_eq(results_take(body, &head, &runs), ERR_NONE);
    buf_printf(&r->said, "RESULTS %" PRIu64 "/%" PRIu64, head.batch, head.floor);
    while (runs.size) {
        cr_assert_eq(result_run_take(&runs, &run), ERR_NONE);
        struct result result;
        for (uint64_t i = 0; i < run.count; i++)
            cr_assert_eq(result_take(&run.records, &result), ERR_NONE);
        cr_assert_eq(run.records.size, 0);
        buf_printf(&r->said, " %" PRIu64, run.first);
        if (run.count > 1)
            buf_printf(&r->said, "-%" PRIu64, run.first + run.count - 1);
        buf_put_text(&r->said, result.final ? "" : "h");
    }
}

static void say_piece(struct rig *r, struct bytes body)
{
    struct piece m;
    cr_assert_eq(piece_take(body, &m), ERR_NONE);
    buf_printf(&r->said, "PIECE %" PRIu64 "@%" PRIu64 "+%zu/%" PRIu64, m.seq, m.offset,
               m.content.size, m.total);
}

static void say_message(struct rig *r, struct block *block)
{
    struct frame_head head;
    struct bytes body;
    cr_assert_eq(frame_take(block_bytes(block), &head, &body), ERR_NONE);
    if (head.kind == KIND_HEARTBEAT) {
        struct heartbeat m = {0};
        cr_assert_eq(heartbeat_take(body, &m), ERR_NONE);
        r->stuck_ms = m.results_stuck_ms;
        r->unusable = m.unusable;
        if (r->show_beats) {
            buf_put_text(&r->said, m.running.count ? "BEAT " : "BEAT");
            said_ranges(&r->said, &m.running);
            buf_put_text(&r->said, m.stopped.count ? " stopped " : "");
            said_ranges(&r->said, &m.stopped);
            for (size_t i = 0; i < m.held_count; i++)
                buf_printf(&r->said, " %" PRIu64 " held by %.*s:%" PRIu64, m.held[i].seq,
                           (int)m.held[i].command.size, (const char *)m.held[i].command.data,
                           m.held[i].pid);
        }
        heartbeat_free(&m);
    } else if (head.kind == KIND_CREDIT) {
        cr_assert_eq(credit_take(body, &r->credit), ERR_NONE);
        r->credits++;
        if (r->show_credit)
            buf_printf(&r->said, "CREDIT %" PRIu64 "/%" PRIu64, r->credit.tasks, r->credit.reserve);
    } else if (head.kind == KIND_JOIN)
        say_join(r, head, body);
    else if (head.kind == KIND_FINISHED)
        say_finished(r, body);
    else if (head.kind == KIND_FAILED)
        say_failed(r, body);
    else if (head.kind == KIND_RETURNED)
        wire_print_body(&r->said, head.kind, body);
    else if (head.kind == KIND_RESULTS)
        say_results(r, body);
    else if (head.kind == KIND_PIECE)
        say_piece(r, body);
    else
        buf_put_text(&r->said, wire_kind_name(head.kind));
}

static void say_start(struct rig *r, const struct assignment *a)
{
    buf_printf(&r->said, "START %u:%" PRIu64, a->slot, a->first);
    if (a->count > 1)
        buf_printf(&r->said, "-%" PRIu64, a->first + a->count - 1);
    struct bytes records = a->records;
    cr_assert_eq(task_skip(&records, a->count), ERR_NONE);
    cr_assert_eq(records.size, 0);
}

static void say_action(struct rig *r, struct slots_action *action)
{
    switch (action->kind) {
    case SLOTS_OPEN_CONTROL:
        buf_put_text(&r->said, "control+");
        break;
    case SLOTS_CLOSE_CONTROL:
        buf_put_text(&r->said, "control-");
        break;
    case SLOTS_OPEN_LANE:
        buf_printf(&r->said, "lane+%s", action->endpoint);
        break;
    case SLOTS_CLOSE_LANE:
        buf_put_text(&r->said, "lane-");
        break;
    case SLOTS_OPEN_RESULTS:
        buf_printf(&r->said, "results+%s", action->endpoint);
        if (!key_is_none(&action->sink))
            buf_printf(&r->said, "#%u", action->sink.octets[0]);
        break;
    case SLOTS_CLOSE_RESULTS:
        buf_put_text(&r->said, "results-");
        break;
    case SLOTS_SEND_CONTROL:
        r->messages++;
        say_message(r, action->block);
        break;
    case SLOTS_SEND_RESULTS:
        say_message(r, action->block);
        block_release(&r->results);
        r->results = block_hold(action->block);
        break;
    case SLOTS_START:
        say_start(r, &action->assignment);
        break;
    case SLOTS_CANCEL:
        buf_printf(&r->said, "CANCEL %u:%" PRIu64, action->slot, action->seq);
        break;
    case SLOTS_SAY:
        buf_printf(&r->said, "SAY");
        r->why = action->why;
        break;
    case SLOTS_HURRY:
        buf_put_text(&r->said, "HURRY");
        break;
    case SLOTS_EXIT:
        buf_printf(&r->said, "EXIT %d", action->status);
        r->why = action->why;
        break;
    }
}

void rig_turn(struct rig *r)
{
    struct slots_action action;
    slots_turn(r->s, r->now_ns);
    while (slots_next_action(r->s, &action)) {
        size_t before = r->said.size;
        say_action(r, &action);
        if (r->said.size > before)
            buf_put_byte(&r->said, ' ');
        if (action.kind == SLOTS_SEND_CONTROL || action.kind == SLOTS_SEND_RESULTS)
            block_release(&action.block);
    }
}

void rig_pass(struct rig *r, uint64_t ns)
{
    uint64_t end = r->now_ns + ns;
    for (uint64_t deadline; (deadline = slots_deadline(r->s)) <= end; rig_turn(r))
        r->now_ns = deadline > r->now_ns ? deadline : r->now_ns;
    r->now_ns = end;
    rig_turn(r);
}

void rig_expect(struct rig *r, const char *words)
{
    rig_turn(r);
    if (r->said.size)
        r->said.size--; /* the last blank */
    buf_put_byte(&r->said, 0);
    cr_assert_str_eq((const char *)r->said.data, words);
    buf_clear(&r->said);
}

void rig_forget(struct rig *r)
{
    rig_turn(r);
    buf_clear(&r->said);
}

/* ---- short cuts ---- */

void rig_results_up(struct rig *r)
{
    rig_turn(r);
    slots_results_up(r->s, r->now_ns);
}

void rig_rejoin(struct rig *r)
{
    rig_pass(r, 3 * NS_PER_S); /* any back-off */
    slots_control_up(r->s, r->now_ns);
    v_welcome(r, (struct worker_welcome){0});
    v_hello(r);
    rig_turn(r);
}

void rig_join(struct rig *r)
{
    rig_turn(r);
    slots_control_up(r->s, r->now_ns);
    v_welcome(r, (struct worker_welcome){0});
    v_hello(r);
    rig_results_up(r);
    rig_forget(r);
}
