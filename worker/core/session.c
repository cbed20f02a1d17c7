/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/core/session.h"

#include "common/base/xalloc.h"
#include "worker/core/slots_state.h"

#define LONG_RUNNING_NS (HEARTBEAT_RUNNING_MS * NS_PER_MS)

uint64_t session_late_ns(const struct slots *s, uint64_t now_ns)
{
    return s->promised_ns < now_ns ? now_ns - s->promised_ns : 0;
}

struct buf say_begin(const struct slots *s, enum wire_kind kind)
{
    struct buf message = {0};
    wire_begin(&message, kind, s->control.member.head);
    return message;
}

void say(struct slots *s, struct buf *message)
{
    actions_send(&s->actions, SLOTS_SEND_CONTROL, block_new(message));
}

static void end_session(struct slots *s)
{
    if (member_in_session(&s->control.member))
        actions_do(&s->actions, SLOTS_CLOSE_LANE);
    backlog_give_back(&s->backlog, UINT64_MAX, NULL);
    worker_lane_reset(&s->lane);
    s->departure.said = false;
    s->control.waiting = false;
}

void session_leave(struct slots *s, uint64_t now_ns)
{
    if (s->control.member.state == MEMBER_AWAY)
        return;
    end_session(s);
    actions_do(&s->actions, SLOTS_CLOSE_CONTROL);
    member_leave(&s->control.member, now_ns);
}

/* ---- JOIN ---- */

/* A try that has failed and was not told runs until FAILED follows the WELCOME: what is not named is handed out
 * anew, and such a try would cost none. */
static void name_failed(const struct slots *s, struct worker_join *m)
{
    const struct attempt_list *failed = &s->report.failed;
    for (size_t i = 0; i < failed->count; i++) {
        uint64_t seq = failed->items[i].seq;
        unsigned slot = 0;
        if (!running_wanted(&s->running, seq, seq, &slot) && !seqset_has(&m->kept, seq))
            attempt_list_add(&m->running, seq, failed->items[i].attempt);
    }
}

/* The whole truth: what runs and what is kept. All that was to be reported is in it. */
static void say_join(struct slots *s)
{
    struct worker_join m = {.peer = s->options.peer,
                            .slots = s->options.slots,
                            .flags = s->departure.leaving == STAYING ? 0 : WORKER_LEAVING,
                            .executor = s->options.executor,
                            .features = FEATURE_RECEIPTS};
    backlog_give_back(&s->backlog, UINT64_MAX, NULL);
    results_close(&s->results, &s->report);
    report_joined(&s->report);
    running_list(&s->running, &m.running);
    results_list(&s->results, &m.kept);
    name_failed(s, &m);
    struct buf message = say_begin(s, KIND_JOIN);
    worker_join_put(&message, &m);
    say(s, &message);
    worker_join_free(&m);
}

void session_rejoin(struct slots *s, uint64_t now_ns)
{
    end_session(s);
    say_join(s);
    member_joining(&s->control.member, now_ns);
}

/* ---- the two connections ---- */

void slots_control_accepted(struct slots *s, uint64_t now_ns)
{
    if (s->control.member.state == MEMBER_CONNECTING && !s->gone)
        member_accepted(&s->control.member, now_ns);
}

void slots_control_up(struct slots *s, uint64_t now_ns)
{
    if (s->control.member.state != MEMBER_CONNECTING || s->gone)
        return;
    say_join(s);
    member_up(&s->control.member, session_late_ns(s, now_ns), now_ns);
}

void slots_control_down(struct slots *s, uint64_t now_ns)
{
    s->control.full = false;
    if (!s->gone)
        session_leave(s, now_ns);
}

void slots_lane_accepted(struct slots *s, uint64_t now_ns)
{
    if (s->lane.accepted)
        return;
    s->lane.accepted = true;
    s->lane.accepted_ns = now_ns;
}

void slots_lane_down(struct slots *s, uint64_t now_ns)
{
    if (!s->gone && member_in_session(&s->control.member) && !s->lane.ended)
        session_leave(s, now_ns);
}

void session_welcome(struct slots *s, const struct frame_head *head, const struct worker_welcome *m,
                     uint64_t now_ns)
{
    struct member *member = &s->control.member;
    uint64_t took_ns = now_ns - member->since_ns;
    member_welcomed(member, head, m->heartbeat_ms, m->limit_ms, now_ns);
    if (!s->control.waiting) { /* else it may have waited for a sink */
        if (took_ns > member->heartbeat_ns)
            member_answered(member, took_ns - member->heartbeat_ns, session_late_ns(s, now_ns));
        meter_round_trip(&s->meter, took_ns, now_ns);
    }
    s->control.full = s->control.waiting = false;
    s->halt_pause.rule = m->halt;
    told_endpoint(s->options.connect, s->options.lanes, m->lanes, s->lane.endpoint);
    actions_open(&s->actions, SLOTS_OPEN_LANE, s->lane.endpoint);
    s->lane.accepted = false;
    s->moved_ns = now_ns;
}

void session_claim(struct slots *s, const struct token *token, uint64_t now_ns)
{
    struct member *member = &s->control.member;
    struct buf message = say_begin(s, KIND_CLAIM);
    token_put(&message, token);
    say(s, &message);
    if (s->lane.accepted)
        member_answered(member, now_ns - s->lane.accepted_ns, session_late_ns(s, now_ns));
    member_joined(member, now_ns);
    s->moved_ns = now_ns;
}

/* ---- heartbeats and credit ---- */

void session_say_credit(struct slots *s, struct credit credit)
{
    credit.received_batch = s->lane.batch;
    credit.received_offset = s->lane.offset;
    struct buf message = say_begin(s, KIND_CREDIT);
    credit_put(&message, &credit);
    say(s, &message);
    s->lane.told = credit;
}

/* Tells what has come on the lane, unless that was told. */
static void acknowledge_lane(struct slots *s)
{
    const struct credit *told = &s->lane.told;
    if (s->control.member.state == MEMBER_JOINED &&
        (told->received_batch != s->lane.batch || told->received_offset != s->lane.offset))
        session_say_credit(s, *told);
}

/* What a slot that is at a task has to tell beyond that. */
static void tell_state(const struct slot *slot, struct heartbeat *m)
{
    if (slot->stopped)
        seqset_add(&m->stopped, slot->next, slot->next);
    if (!slot->held || m->held_count == HELD_MAX)
        return;
    m->held = m->held ? m->held : xcalloc(HELD_MAX, sizeof *m->held);
    m->held[m->held_count++] = (struct held_task){
        .seq = slot->next, .pid = slot->held_by, .command = bytes_of(slot->held_command)};
}

static void say_heartbeat(struct slots *s, uint64_t now_ns)
{
    struct heartbeat m = {.clock_ns = now_ns,
                          .results_stuck_ms = outlet_stuck_ms(&s->outlet, now_ns),
                          .unusable = running_unwanted(&s->running) +
                                      start_limit_unusable(&s->start_limit, s->running.busy)};
    acknowledge_lane(s); /* so it is judged by the latest */
    for (unsigned i = 0; i < s->running.count; i++) {
        const struct slot *slot = &s->running.slots[i];
        if (slot->run.block && now_ns - slot->since_ns >= LONG_RUNNING_NS &&
            !seqset_has(&slot->unwanted, slot->next)) {
            seqset_add(&m.running, slot->next, slot->next);
            tell_state(slot, &m);
        }
    }
    struct buf message = say_begin(s, KIND_HEARTBEAT);
    heartbeat_put(&message, &m);
    say(s, &message);
    heartbeat_free(&m);
}

/* ---- the turn ---- */

/* Without its lane the worker gets no tasks, so nothing waits for it: a ventilator that is there can take its time. */
static uint64_t lane_ends(const struct slots *s)
{
    const struct member *member = &s->control.member;
    if (member->state != MEMBER_WELCOMED)
        return NEVER;
    return member->since_ns + (s->lane.accepted
                                   ? PATIENCE_MOST * MEMBER_LIMIT_NS
                                   : patience_attempt(&member->patience, MEMBER_LIMIT_NS));
}

/* A worker that stops comes back no more. */
static bool is_done(const struct slots *s)
{
    return s->control.member.state == MEMBER_AWAY && s->departure.stopping;
}

void session_turn(struct slots *s, uint64_t now_ns)
{
    if (is_done(s))
        return;
    if (now_ns >= lane_ends(s)) {
        member_in_vain(&s->control.member);
        session_leave(s, now_ns);
        return;
    }
    switch (member_turn(&s->control.member, now_ns)) {
    case MEMBER_DUE_NOTHING:
        break;
    case MEMBER_DUE_OPEN:
        actions_open(&s->actions, SLOTS_OPEN_CONTROL, s->options.connect);
        break;
    case MEMBER_DUE_SILENT:
        session_leave(s, now_ns);
        break;
    case MEMBER_DUE_HEARTBEAT:
        say_heartbeat(s, now_ns);
        break;
    }
}

uint64_t session_deadline(const struct slots *s)
{
    return is_done(s) ? NEVER : clock_earlier(lane_ends(s), member_deadline(&s->control.member));
}
