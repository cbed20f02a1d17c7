/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <string.h>

#include "worker/core/slots_state.h"

static void outlet_enter(struct slots *s, enum outlet_state state, uint64_t now_ns)
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
    outlet_enter(s, then, now_ns);
}

static void outlet_wait(struct slots *s, uint64_t until_ns, uint64_t now_ns)
{
    outlet_enter(s, OUTLET_WAITING, now_ns);
    s->outlet.retry_ns = until_ns;
}

static void open_it(struct slots *s, uint64_t now_ns)
{
    actions_open_results(&s->actions, s->outlet.endpoint, &s->outlet.sink);
    s->outlet.accepted = false;
    outlet_enter(s, OUTLET_OPENING, now_ns);
}

/* It is another sink: nothing is known of the way there. */
static void begin_anew(struct slots *s, uint64_t now_ns)
{
    struct outlet *o = &s->outlet;
    o->down_ns = now_ns;
    o->stuck_ns = NEVER;
    o->limit_ns = o->usual_ns = 0;
    o->told = o->is_careful = false;
    o->batch = o->offset = o->sent_offset = o->probe = 0;
    s->kept.batch_max = BATCH_BYTES_MAX;
    s->large.piece_max = PIECE_BYTES_MAX;
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
        begin_anew(s, now_ns);
    o->incarnation = s->link.head.incarnation;
    o->epoch = epoch;
    snprintf(o->endpoint, sizeof o->endpoint, "%s", text);
    o->sink = *sink;
    backoff_reset(&o->backoff);
    if (epoch) /* it is opened in the turn: news of the one before may still come until then */
        outlet_wait(s, now_ns, now_ns);
}

void slots_results_accepted(struct slots *s, uint64_t now_ns)
{
    if (s->gone || s->outlet.state != OUTLET_OPENING)
        return;
    s->outlet.accepted = true;
    s->outlet.since_ns = now_ns;
}

void slots_results_up(struct slots *s, uint64_t now_ns)
{
    if (s->gone || s->outlet.state != OUTLET_OPENING)
        return;
    backoff_reset(&s->outlet.backoff);
    patience_answered(&s->outlet.patience);
    outlet_enter(s, OUTLET_UP, now_ns);
    outlet_send_again(s);
}

static void fall(struct slots *s, uint64_t now_ns)
{
    close_it(s, OUTLET_CLOSED, now_ns);
    outlet_wait(s, now_ns + backoff_next(&s->outlet.backoff), now_ns);
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
    s->outlet.sent_offset = s->outlet.offset;
    s->outlet.probe = 0;
}

/* A result of a batch that is too large for a frame. */
static void take_large(void *context, const struct result *r)
{
    struct slots *s = context;
    struct output out = {.bytes = r->out, .fd = -1}, err = {.bytes = r->err, .fd = -1};
    large_put(&s->large, r, &out, &err, NULL);
}

static bool is_under_way(const struct slots *s)
{
    const struct outlet *o = &s->outlet;
    return kept_is_out(&s->kept, o->batch) || o->probe > o->batch ||
           (s->large.count && o->sent_offset > o->offset);
}

void outlet_begin_session(struct slots *s, uint64_t epoch, uint64_t now_ns)
{
    struct outlet *o = &s->outlet;
    bool is_same = epoch == o->epoch && s->link.head.incarnation == o->incarnation;
    uint64_t arrived = is_same ? o->batch : 0;
    /* All is sent again: where the way is slow it does not wait behind itself. */
    if (o->is_careful && o->state == OUTLET_UP && is_under_way(s))
        close_it(s, OUTLET_CLOSED, now_ns);
    if (o->is_careful) {
        kept_take_apart(&s->kept, FRAME_CAREFUL, arrived, take_large, s);
        s->large.piece_max = FRAME_CAREFUL;
    } else {
        kept_take_apart(&s->kept, s->kept.batch_max, arrived, NULL, NULL);
    }
    o->told = false;
    o->batch = o->offset = 0;
    o->moved_ns = now_ns;
    kept_begin_session(&s->kept);
    outlet_send_again(s);
}

/* ---- whether it lives ---- */

static uint64_t limit_of(const struct slots *s)
{
    uint64_t usual_ns = slots_link_limit(s);
    return s->outlet.limit_ns > usual_ns ? s->outlet.limit_ns : usual_ns;
}

/* What the kernel has taken says nothing: only what the sink tells to have received. */
static bool waits_for_receipt(const struct slots *s)
{
    const struct outlet *o = &s->outlet;
    return o->state == OUTLET_UP && slots_link_in_session(s) && o->told && o->reads &&
           is_under_way(s);
}

/* By how much longer than elsewhere it takes before something is amiss on this way: what takes as long as it
 * lately took is not. */
static uint64_t slowness_ns(const struct slots *s)
{
    uint64_t usual_ns = s->outlet.usual_ns, limit_ns = slots_link_limit(s);
    return usual_ns > limit_ns ? usual_ns - limit_ns : 0;
}

/* That the connection is given up later each time is for the connection: what is kept here is missed
 * elsewhere as soon as ever. */
static bool is_overdue(const struct slots *s, uint64_t now_ns)
{
    return waits_for_receipt(s) &&
           now_ns >= s->outlet.moved_ns + slots_link_limit(s) + slowness_ns(s);
}

/* What is finished here is run elsewhere when this is three times the limit: so a slow way has as long as others to
 * begin anew, and not only what its slowness leaves of that. */
uint64_t outlet_stuck_ms(const struct slots *s, uint64_t now_ns)
{
    const struct outlet *o = &s->outlet;
    uint64_t since_ns = o->stuck_ns;
    if (since_ns == NEVER && is_overdue(s, now_ns))
        since_ns = o->moved_ns;
    if (since_ns != NEVER)
        since_ns += slowness_ns(s);
    else if (o->epoch && o->state != OUTLET_UP && now_ns >= o->down_ns + slots_link_limit(s))
        since_ns = o->down_ns;
    if (since_ns == NEVER)
        return 0;
    return (now_ns > since_ns ? now_ns - since_ns : 0) / NS_PER_MS + 1;
}

/* A way that takes long for a frame needs a longer limit: it falls again by and by. */
static void outlet_note_movement(struct slots *s, uint64_t now_ns)
{
    struct outlet *o = &s->outlet;
    uint64_t took_ns = now_ns - o->moved_ns;
    struct why why;
    patience_moved(&o->limit_ns, took_ns);
    patience_moved(&o->usual_ns, took_ns);
    if (o->stuck_ns != NEVER) {
        fail(&why, ERR_NONE, "results arrive at the sink at %s again", o->endpoint);
        actions_say(&s->actions, &why);
    }
    o->stuck_ns = NEVER;
    o->moved_ns = s->moved_ns = now_ns;
}

void outlet_received(struct slots *s, const struct received *m, uint64_t now_ns)
{
    struct outlet *o = &s->outlet;
    bool moved = m->batch > o->batch || m->offset > o->offset;
    if (m->batch > o->batch)
        o->batch = m->batch;
    if (m->offset > o->offset)
        o->offset = m->offset;
    o->told = true;
    o->reads = !(m->flags & RECEIVED_NOT_READING);
    if (moved)
        outlet_note_movement(s, now_ns);
}

/* The connection is given up, and with it the session: in the next one all that is kept is numbered anew,
 * so that what arrives of it can be told from what has arrived before. */
static void give_up_silent(struct slots *s, uint64_t now_ns)
{
    struct outlet *o = &s->outlet;
    struct why why;
    uint64_t limit_ns = 2 * limit_of(s);
    fail(&why, ERR_NONE,
         "no result has arrived at the sink at %s for %.1f s, though it reads: the connection is "
         "made "
         "anew; %llu results wait here",
         o->endpoint, (double)(now_ns - o->moved_ns) / (double)NS_PER_S,
         (unsigned long long)(s->kept.tasks.members + s->large.tasks.members));
    actions_say(&s->actions, &why);
    if (o->stuck_ns == NEVER)
        o->stuck_ns = o->moved_ns;
    o->limit_ns = limit_ns < s->options.give_up_ns ? limit_ns : s->options.give_up_ns;
    o->is_careful = true;
    close_it(s, OUTLET_CLOSED, now_ns);
    slots_link_rejoin(s, now_ns);
}

static void outlet_judge(struct slots *s, uint64_t now_ns)
{
    struct outlet *o = &s->outlet;
    if (!waits_for_receipt(s))
        o->moved_ns = now_ns;
    else if (now_ns >= o->moved_ns + limit_of(s))
        give_up_silent(s, now_ns);
}

/* Where nothing is left to be sent, something has to be, to see whether it arrives. */
static void send_probe(struct slots *s)
{
    struct outlet *o = &s->outlet;
    if (o->stuck_ns == NEVER || !o->told || is_under_way(s))
        return;
    actions_send(&s->actions, SLOTS_SEND_RESULTS, kept_probe(&s->kept, s->link.head));
    o->probe = s->kept.number;
}

/* ---- what is sent ---- */

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
        s->outlet.sent_offset += sent.size_bytes;
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
    send_probe(s);
}

/* A large result is reported when all of it is sent. But one that cannot be is needed elsewhere, and when
 * the lane has ended the ventilator must know what of its tasks is begun. */
static void report_what_stays(struct slots *s, uint64_t now_ns)
{
    if (s->large.count && slots_link_in_session(s) &&
        (s->link.lane_ended || outlet_stuck_ms(s, now_ns)))
        large_report(&s->large, &s->report.finished, &s->report.not_ok);
}

/* Somebody who is there may be slow; where nobody is, another attempt is made soon. */
static uint64_t opening_ends(const struct slots *s)
{
    const struct outlet *o = &s->outlet;
    uint64_t usual_ns = patience_limit(&s->link.patience, LIMIT_NS);
    uint64_t attempt_ns = patience_attempt(&o->patience, LIMIT_NS);
    return o->since_ns + (o->accepted && attempt_ns > usual_ns ? attempt_ns : usual_ns);
}

void outlet_turn(struct slots *s, uint64_t now_ns)
{
    struct outlet *o = &s->outlet;
    report_what_stays(s, now_ns);
    if (o->state == OUTLET_OPENING && now_ns >= opening_ends(s)) {
        if (o->accepted)
            patience_in_vain(&o->patience, LIMIT_NS);
        fall(s, now_ns);
    }
    outlet_judge(s, now_ns);
    if (o->state == OUTLET_WAITING && slots_link_in_session(s) && now_ns >= o->retry_ns)
        open_it(s, now_ns);
}

uint64_t outlet_deadline(const struct slots *s)
{
    if (s->outlet.state == OUTLET_OPENING)
        return opening_ends(s);
    if (s->outlet.state == OUTLET_WAITING && slots_link_in_session(s))
        return s->outlet.retry_ns;
    if (waits_for_receipt(s))
        return s->outlet.moved_ns + limit_of(s);
    return NEVER;
}
