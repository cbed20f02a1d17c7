/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <string.h>

#include "worker/slots_state.h"

static void enter(struct slots *s, enum outlet_state state, uint64_t now_ns)
{
    if (s->outlet.state == OUTLET_UP)
        s->outlet.down_ns = now_ns;
    s->outlet.state = state;
    s->outlet.since_ns = now_ns;
    if (state == OUTLET_UP)
        s->moved_ns = now_ns;
}

static void close_it(struct slots *s, enum outlet_state then, uint64_t now_ns)
{
    if (s->outlet.state == OUTLET_OPENING || s->outlet.state == OUTLET_UP)
        actions_do(&s->actions, SLOTS_CLOSE_RESULTS);
    s->outlet.pending_bytes = 0;
    enter(s, then, now_ns);
}

static void wait(struct slots *s, uint64_t until_ns, uint64_t now_ns)
{
    enter(s, OUTLET_WAITING, now_ns);
    s->outlet.retry_ns = until_ns;
}

static void open_it(struct slots *s, uint64_t now_ns)
{
    actions_open_results(&s->actions, s->outlet.endpoint, &s->outlet.sink);
    enter(s, OUTLET_OPENING, now_ns);
}

void outlet_aim(struct slots *s, uint64_t epoch, struct bytes endpoint, const struct key *sink,
                uint64_t now_ns)
{
    struct outlet *o = &s->outlet;
    char text[ENDPOINT_MAX];
    slots_link_endpoint(s, s->options.results, endpoint, text);
    bool same = epoch == o->epoch && s->link.head.incarnation == o->incarnation &&
                strcmp(text, o->endpoint) == 0 && key_equal(sink, &o->sink);
    if (same && (o->state == OUTLET_UP || o->state == OUTLET_OPENING))
        return;
    close_it(s, OUTLET_CLOSED, now_ns);
    if (!same)
        o->down_ns = now_ns;
    o->incarnation = s->link.head.incarnation;
    o->epoch = epoch;
    snprintf(o->endpoint, sizeof o->endpoint, "%s", text);
    o->sink = *sink;
    backoff_reset(&o->backoff);
    if (epoch) /* it is opened in the turn: news of the one before may still come until then */
        wait(s, now_ns, now_ns);
}

void slots_results_up(struct slots *s, uint64_t now_ns)
{
    if (s->gone || s->outlet.state != OUTLET_OPENING)
        return;
    backoff_reset(&s->outlet.backoff);
    enter(s, OUTLET_UP, now_ns);
    outlet_send_again(s);
}

static void fall(struct slots *s, uint64_t now_ns)
{
    close_it(s, OUTLET_CLOSED, now_ns);
    wait(s, now_ns + backoff_next(&s->outlet.backoff), now_ns);
}

void slots_results_down(struct slots *s, uint64_t now_ns)
{
    if (!s->gone && (s->outlet.state == OUTLET_UP || s->outlet.state == OUTLET_OPENING))
        fall(s, now_ns);
}

void slots_results_pending(struct slots *s, uint64_t pending_bytes)
{
    s->outlet.pending_bytes = pending_bytes;
}

bool outlet_ready(const struct slots *s)
{
    return s->outlet.state == OUTLET_UP && slots_link_in_session(s);
}

void outlet_send_again(struct slots *s)
{
    kept_resend(&s->kept, 1);
    large_restart(&s->large);
}

static void send_pieces(struct slots *s)
{
    while (s->outlet.pending_bytes < PIECES_PENDING_MAX) {
        struct block *piece;
        struct large_sent sent;
        struct why why;
        if (large_piece(&s->large, s->link.head, s->options.peer.name, &piece, &sent, &why)) {
            leave_exit(s, 255, &why);
            return;
        }
        if (!piece)
            return;
        s->outlet.pending_bytes += block_bytes(piece).size;
        actions_send(&s->actions, SLOTS_SEND_RESULTS, piece);
        if (sent.whole && sent.final) {
            seqset_add(&s->report.finished, sent.seq, sent.seq);
            s->report.not_ok += !sent.ok;
        }
    }
}

void outlet_send(struct slots *s, uint64_t now_ns)
{
    if (!outlet_ready(s))
        return;
    for (struct block *block; (block = kept_next(&s->kept, s->link.head)) != NULL;) {
        s->outlet.pending_bytes += block_bytes(block).size;
        actions_send(&s->actions, SLOTS_SEND_RESULTS, block);
        s->moved_ns = now_ns;
    }
    send_pieces(s);
}

void outlet_turn(struct slots *s, uint64_t now_ns)
{
    struct outlet *o = &s->outlet;
    if (o->state == OUTLET_OPENING && now_ns - o->since_ns >= LIMIT_NS)
        fall(s, now_ns);
    if (o->state == OUTLET_WAITING && slots_link_in_session(s) && now_ns >= o->retry_ns)
        open_it(s, now_ns);
}

uint64_t outlet_deadline(const struct slots *s)
{
    if (s->outlet.state == OUTLET_OPENING)
        return s->outlet.since_ns + LIMIT_NS;
    if (s->outlet.state == OUTLET_WAITING && slots_link_in_session(s))
        return s->outlet.retry_ns;
    return NEVER;
}
