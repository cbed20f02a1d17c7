/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/endpoint.h"
#include "common/base/xalloc.h"
#include "worker/core/slots_state.h"

bool slots_link_in_session(const struct slots *s)
{
    return s->link.state == LINK_WELCOMED || s->link.state == LINK_JOINED;
}

static void link_enter(struct slots *s, enum link_state state, uint64_t now_ns)
{
    s->link.state = state;
    s->link.since_ns = now_ns;
    if (slots_link_in_session(s))
        s->moved_ns = now_ns;
}

void slots_link_begin(struct slots *s, uint64_t now_ns)
{
    backoff_init(&s->link.backoff, s->options.random_seed);
    s->link.limit_ns = LIMIT_NS;
    s->link.heartbeat_ns = HEARTBEAT_NS;
    s->link.present_ns = now_ns;
    s->link.retry_ns = now_ns;
    link_enter(s, LINK_AWAY, now_ns);
}

bool slots_link_is_current(const struct slots *s, const struct frame_head *head)
{
    const struct frame_head *own = &s->link.head;
    return slots_link_in_session(s) && head->session == own->session &&
           head->incarnation == own->incarnation && head->job == own->job;
}

struct buf say_begin(const struct slots *s, enum wire_kind kind)
{
    struct buf message = {0};
    wire_begin(&message, kind, s->link.head);
    return message;
}

void say(struct slots *s, struct buf *message)
{
    actions_send(&s->actions, SLOTS_SEND_CONTROL, block_new(message));
}

static void end_session(struct slots *s)
{
    struct slots_link *link = &s->link;
    if (slots_link_in_session(s))
        actions_do(&s->actions, SLOTS_CLOSE_LANE);
    backlog_give_back(&s->backlog, UINT64_MAX, NULL);
    s->early.count = 0;
    lane_drop_pieces(s);
    s->leave_told = false;
    link->waiting = false;
    link->lane_ended = false;
    link->lane_batch = link->lane_offset = 0;
    link->received = link->received_bytes = 0;
    link->credit = (struct credit){0};
}

void slots_link_leave(struct slots *s, uint64_t now_ns)
{
    struct slots_link *link = &s->link;
    if (link->state == LINK_AWAY)
        return;
    end_session(s);
    actions_do(&s->actions, SLOTS_CLOSE_CONTROL);
    link->retry_ns = now_ns + backoff_next(&link->backoff);
    link_enter(s, LINK_AWAY, now_ns);
}

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
static void link_join(struct slots *s, uint64_t now_ns)
{
    struct worker_join m = {.peer = s->options.peer,
                            .slots = s->options.slots,
                            .flags = s->leaving == STAYING ? 0 : WORKER_LEAVING,
                            .executor = s->options.executor,
                            .features = FEATURE_RECEIPTS};
    backlog_give_back(&s->backlog, UINT64_MAX, NULL);
    kept_close(&s->kept, &s->report.finished, &s->report.not_ok);
    seqset_clear(&s->report.finished);
    s->report.not_ok = 0;
    seqset_clear(&s->report.returned);
    seqset_clear(&s->report.interrupted);
    running_list(&s->running, &m.running);
    seqset_copy(&m.kept, &s->kept.tasks);
    seqset_add_all(&m.kept, &s->large.tasks);
    name_failed(s, &m);
    struct buf message = say_begin(s, KIND_JOIN);
    worker_join_put(&message, &m);
    say(s, &message);
    worker_join_free(&m);
    link_enter(s, LINK_JOINING, now_ns);
}

void slots_link_rejoin(struct slots *s, uint64_t now_ns)
{
    end_session(s);
    link_join(s, now_ns);
}

void slots_control_accepted(struct slots *s, uint64_t now_ns)
{
    if (s->link.state != LINK_CONNECTING || s->gone)
        return;
    s->link.accepted = true;
    s->link.accepted_ns = now_ns;
    s->link.heard_ns = now_ns;
}

/* Until a connection is accepted no peer is there that could be late: the handshake, or HELLO, is an answer
 * to what came after that. */
static void link_note_answer(struct slots *s, bool was_accepted, uint64_t now_ns)
{
    if (was_accepted)
        slots_link_answered(s, now_ns - s->link.accepted_ns, now_ns);
}

void slots_control_up(struct slots *s, uint64_t now_ns)
{
    if (s->link.state != LINK_CONNECTING || s->gone)
        return;
    s->link.heard_ns = now_ns;
    link_note_answer(s, s->link.accepted, now_ns);
    link_join(s, now_ns);
}

void slots_control_down(struct slots *s, uint64_t now_ns)
{
    s->link.full = false;
    if (!s->gone)
        slots_link_leave(s, now_ns);
}

void slots_lane_accepted(struct slots *s, uint64_t now_ns)
{
    if (s->link.lane_accepted)
        return;
    s->link.lane_accepted = true;
    s->link.accepted_ns = now_ns;
}

void slots_lane_down(struct slots *s, uint64_t now_ns)
{
    if (!s->gone && slots_link_in_session(s) && !s->link.lane_ended)
        slots_link_leave(s, now_ns);
}

void slots_link_endpoint(const struct slots *s, const char *instead, struct bytes told,
                         char to[static ENDPOINT_MAX])
{
    struct endpoint endpoint;
    unsigned port = 0;
    if (instead)
        snprintf(to, ENDPOINT_MAX, "%s", instead);
    else
        snprintf(to, ENDPOINT_MAX, "%.*s", (int)told.size, (const char *)told.data);
    if (strspn(to, "0123456789") < strlen(to) || sscanf(to, "%5u", &port) != 1)
        return;
    if (endpoint_parse(s->options.connect, ENDPOINT_CONNECT, &endpoint, NULL) || endpoint.ipc)
        endpoint = (struct endpoint){.host = "127.0.0.1"};
    endpoint.port = (uint16_t)port;
    char formatted[ENDPOINT_TEXT_SIZE];
    endpoint_format(&endpoint, formatted);
    snprintf(to, ENDPOINT_MAX, "%.*s", (int)ENDPOINT_MAX - 1, formatted);
}

static uint64_t told_ns(uint64_t told_ms, uint64_t otherwise_ns)
{
    return told_ms > 0 && told_ms <= 3600 * 1000 ? told_ms * NS_PER_MS : otherwise_ns;
}

void slots_link_welcome(struct slots *s, const struct frame_head *head,
                        const struct worker_welcome *m, uint64_t now_ns)
{
    struct slots_link *link = &s->link;
    if (link->head.job && link->head.job != head->job)
        work_forget(s);
    link->head = *head;
    s->hold.rule = m->halt;
    link->heartbeat_ns = told_ns(m->heartbeat_ms, HEARTBEAT_NS);
    link->limit_ns = told_ns(m->limit_ms, LIMIT_NS);
    link->beat_ns = now_ns + link->heartbeat_ns;
    link->full = false;
    uint64_t took_ns = now_ns - link->since_ns;
    if (!link->waiting && took_ns > link->heartbeat_ns) /* before, it may have waited for a sink */
        slots_link_answered(s, took_ns - link->heartbeat_ns, now_ns);
    if (!link->waiting)
        meter_round_trip(&s->meter, took_ns, now_ns);
    link->waiting = false;
    slots_link_endpoint(s, s->options.lanes, m->lanes, link->lane);
    actions_open(&s->actions, SLOTS_OPEN_LANE, link->lane);
    link->lane_accepted = false;
    link_enter(s, LINK_WELCOMED, now_ns);
}

void slots_link_claim(struct slots *s, const struct token *token, uint64_t now_ns)
{
    struct buf message = say_begin(s, KIND_CLAIM);
    token_put(&message, token);
    say(s, &message);
    link_note_answer(s, s->link.lane_accepted, now_ns);
    backoff_reset(&s->link.backoff);
    link_enter(s, LINK_JOINED, now_ns);
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

static void beat(struct slots *s, uint64_t now_ns)
{
    struct heartbeat m = {.clock_ns = now_ns, .results_stuck_ms = outlet_stuck_ms(s, now_ns)};
    work_acknowledge(s); /* so it is judged by the latest */
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
    s->link.beat_ns = now_ns + s->link.heartbeat_ns;
}

void slots_link_answered(struct slots *s, uint64_t took_ns, uint64_t now_ns)
{
    patience_late(&s->link.patience, took_ns, slots_late_ns(s, now_ns));
}

uint64_t slots_link_limit(const struct slots *s)
{
    return patience_limit(&s->link.patience, s->link.limit_ns);
}

bool slots_link_is_trying(const struct slots *s)
{
    enum link_state state = s->link.state;
    return state == LINK_JOINING || state == LINK_WELCOMED ||
           (state == LINK_CONNECTING && s->link.accepted);
}

/* Without its lane the worker gets no tasks, so nobody waits for it: who is there can take its time. */
static uint64_t lane_ends(const struct slots *s)
{
    return s->link.since_ns + (s->link.lane_accepted
                                   ? PATIENCE_MOST * LIMIT_NS
                                   : patience_attempt(&s->link.patience, LIMIT_NS));
}

/* When the state that the link is in has lasted too long, if nothing comes. */
static uint64_t patience_ends(const struct slots *s)
{
    const struct slots_link *link = &s->link;
    uint64_t attempt_ns = patience_attempt(&link->patience, link->limit_ns);
    switch (link->state) {
    case LINK_AWAY:
        return NEVER;
    case LINK_CONNECTING:
        return link->accepted ? link->heard_ns + attempt_ns : link->since_ns + slots_link_limit(s);
    case LINK_JOINING:
        return link->heard_ns + attempt_ns;
    case LINK_WELCOMED:
        return clock_earlier(lane_ends(s), link->heard_ns + attempt_ns);
    case LINK_JOINED:
        break;
    }
    return link->heard_ns + slots_link_limit(s);
}

void slots_link_turn(struct slots *s, uint64_t now_ns)
{
    if (now_ns >= patience_ends(s)) {
        if (slots_link_is_trying(s))
            patience_in_vain(&s->link.patience, s->link.limit_ns);
        slots_link_leave(s, now_ns);
    }
    if (s->link.state == LINK_AWAY && now_ns >= s->link.retry_ns && !s->stopping) {
        actions_open(&s->actions, SLOTS_OPEN_CONTROL, s->options.connect);
        s->link.accepted = false;
        link_enter(s, LINK_CONNECTING, now_ns);
    }
    if (slots_link_in_session(s) && now_ns >= s->link.beat_ns)
        beat(s, now_ns);
}

static uint64_t moved(uint64_t time_ns, uint64_t late_ns, uint64_t now_ns)
{
    return time_ns + late_ns < now_ns ? time_ns + late_ns : now_ns;
}

void slots_link_forgive(struct slots *s, uint64_t late_ns, uint64_t now_ns)
{
    s->link.since_ns = moved(s->link.since_ns, late_ns, now_ns);
    s->link.heard_ns = moved(s->link.heard_ns, late_ns, now_ns);
    s->link.accepted_ns = moved(s->link.accepted_ns, late_ns, now_ns);
    s->link.present_ns = moved(s->link.present_ns, late_ns, now_ns);
    s->outlet.since_ns = moved(s->outlet.since_ns, late_ns, now_ns);
    s->outlet.down_ns = moved(s->outlet.down_ns, late_ns, now_ns);
    s->outlet.moved_ns = moved(s->outlet.moved_ns, late_ns, now_ns);
}

uint64_t slots_link_deadline(const struct slots *s)
{
    uint64_t deadline = patience_ends(s);
    if (s->link.state == LINK_AWAY && !s->stopping)
        deadline = s->link.retry_ns;
    if (slots_link_in_session(s) && s->link.beat_ns < deadline)
        deadline = s->link.beat_ns;
    return deadline;
}
