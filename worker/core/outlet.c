/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/core/outlet.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"

#define PIECES_PENDING_MAX (UINT64_C(4) << 20)

void outlet_init(struct outlet *o, const struct slots_options *options, const struct member *member,
                 struct results *results, struct actions *actions, uint64_t now_ns)
{
    *o = (struct outlet){.options = options,
                         .member = member,
                         .results = results,
                         .actions = actions,
                         .down_ns = now_ns};
    backoff_init(&o->backoff, options->random_seed + 1);
    receipts_init(&o->receipts, now_ns);
}

static void outlet_enter(struct outlet *o, enum outlet_state state, uint64_t now_ns)
{
    if (o->state == OUTLET_UP)
        o->down_ns = now_ns;
    o->state = state;
    o->since_ns = now_ns;
    if (state == OUTLET_UP)
        o->progress_ns = now_ns;
}

static void outlet_close(struct outlet *o, uint64_t now_ns)
{
    if (o->state == OUTLET_OPENING || o->state == OUTLET_UP)
        actions_do(o->actions, SLOTS_CLOSE_RESULTS);
    o->pending_bytes = 0;
    outlet_enter(o, OUTLET_CLOSED, now_ns);
}

static void outlet_wait(struct outlet *o, uint64_t until_ns, uint64_t now_ns)
{
    outlet_enter(o, OUTLET_WAITING, now_ns);
    o->retry_ns = until_ns;
}

static void outlet_open(struct outlet *o, uint64_t now_ns)
{
    actions_open_results(o->actions, o->endpoint, &o->sink);
    o->accepted = false;
    outlet_enter(o, OUTLET_OPENING, now_ns);
}

static bool is_same_sink(const struct outlet *o, uint64_t epoch)
{
    return epoch == o->epoch && o->member->head.incarnation == o->incarnation;
}

void outlet_aim(struct outlet *o, uint64_t epoch, struct bytes endpoint, const struct key *sink,
                uint64_t now_ns)
{
    char text[ENDPOINT_MAX];
    told_endpoint(o->options->connect, o->options->results, endpoint, text);
    bool same =
        is_same_sink(o, epoch) && strcmp(text, o->endpoint) == 0 && key_equal(sink, &o->sink);
    if (same && (o->state == OUTLET_UP || o->state == OUTLET_OPENING))
        return;
    outlet_close(o, now_ns);
    if (!same) {
        o->down_ns = now_ns;
        receipts_other_sink(&o->receipts);
        results_usual_frames(o->results);
    }
    o->incarnation = o->member->head.incarnation;
    o->epoch = epoch;
    snprintf(o->endpoint, sizeof o->endpoint, "%s", text);
    o->sink = *sink;
    backoff_reset(&o->backoff);
    if (epoch) /* it is opened in the turn: news of the one before may still come until then */
        outlet_wait(o, now_ns, now_ns);
}

void outlet_accepted(struct outlet *o, uint64_t now_ns)
{
    if (o->state != OUTLET_OPENING)
        return;
    o->accepted = true;
    o->since_ns = now_ns;
}

static void outlet_send_again(struct outlet *o)
{
    results_send_again(o->results);
    receipts_send_again(&o->receipts);
}

void outlet_up(struct outlet *o, uint64_t now_ns)
{
    if (o->state != OUTLET_OPENING)
        return;
    backoff_reset(&o->backoff);
    patience_answered(&o->patience);
    outlet_enter(o, OUTLET_UP, now_ns);
    outlet_send_again(o);
}

static void outlet_fall(struct outlet *o, uint64_t now_ns)
{
    outlet_close(o, now_ns);
    outlet_wait(o, now_ns + backoff_next(&o->backoff), now_ns);
}

void outlet_down(struct outlet *o, uint64_t now_ns)
{
    if (o->state == OUTLET_UP || o->state == OUTLET_OPENING)
        outlet_fall(o, now_ns);
}

void outlet_slept(struct outlet *o, uint64_t slept_ns, uint64_t now_ns)
{
    o->since_ns = clock_earlier(o->since_ns + slept_ns, now_ns);
    o->down_ns = clock_earlier(o->down_ns + slept_ns, now_ns);
    o->receipts.moved_ns = clock_earlier(o->receipts.moved_ns + slept_ns, now_ns);
}

static bool outlet_is_ready(const struct outlet *o)
{
    return o->state == OUTLET_UP && member_in_session(o->member);
}

void outlet_begin_session(struct outlet *o, uint64_t epoch, uint64_t now_ns)
{
    uint64_t arrived = is_same_sink(o, epoch) ? o->receipts.batch : 0;
    /* All is sent again: where the way is slow it does not wait behind itself. */
    if (o->results->is_careful && o->state == OUTLET_UP &&
        receipts_is_under_way(&o->receipts, o->results))
        outlet_close(o, now_ns);
    results_begin_session(o->results, arrived);
    receipts_begin_session(&o->receipts, now_ns);
}

/* ---- whether results arrive ---- */

static bool waits_for_receipt(const struct outlet *o)
{
    const struct receipts *receipts = &o->receipts;
    return outlet_is_ready(o) && receipts->told && receipts->reads &&
           receipts_is_under_way(receipts, o->results);
}

/* That the connection is given up later each time is for the connection: what is kept here is missed
 * elsewhere as soon as ever. */
static bool is_overdue(const struct outlet *o, uint64_t now_ns)
{
    uint64_t usual_ns = member_limit(o->member);
    return waits_for_receipt(o) &&
           now_ns >= o->receipts.moved_ns + usual_ns + receipts_slowness(&o->receipts, usual_ns);
}

bool outlet_is_down(const struct outlet *o, uint64_t now_ns)
{
    return o->state != OUTLET_UP && now_ns >= o->down_ns + member_limit(o->member);
}

/* What is finished here is run elsewhere when this is three times the limit: so a slow way has as long as others to
 * begin anew, and not only what its slowness leaves of that. */
uint64_t outlet_stuck_ms(const struct outlet *o, uint64_t now_ns)
{
    uint64_t since_ns = o->receipts.stuck_ns;
    if (since_ns == NEVER && is_overdue(o, now_ns))
        since_ns = o->receipts.moved_ns;
    if (since_ns != NEVER)
        since_ns += receipts_slowness(&o->receipts, member_limit(o->member));
    else if (o->epoch && outlet_is_down(o, now_ns))
        since_ns = o->down_ns;
    if (since_ns == NEVER)
        return 0;
    return (now_ns > since_ns ? now_ns - since_ns : 0) / NS_PER_MS + 1;
}

void outlet_received(struct outlet *o, const struct received *m, uint64_t now_ns)
{
    struct why why;
    if (!receipts_received(&o->receipts, m))
        return;
    o->progress_ns = now_ns;
    if (!receipts_moved(&o->receipts, now_ns))
        return;
    fail(&why, ERR_NONE, "results arrive at the sink at %s again", o->endpoint);
    actions_say(o->actions, &why);
}

static void give_up_silent(struct outlet *o, uint64_t now_ns)
{
    struct why why;
    fail(&why, ERR_NONE,
         "no result has arrived at the sink at %s for %.1f s, though it reads: the connection is "
         "made anew; %llu results wait here",
         o->endpoint, (double)(now_ns - o->receipts.moved_ns) / (double)NS_PER_S,
         (unsigned long long)results_count(o->results));
    actions_say(o->actions, &why);
    receipts_give_up(&o->receipts, member_limit(o->member), o->options->give_up_ns);
    o->results->is_careful = true;
    outlet_close(o, now_ns);
}

static uint64_t silence_ends(const struct outlet *o)
{
    return o->receipts.moved_ns + receipts_limit(&o->receipts, member_limit(o->member));
}

/* ---- what is sent ---- */

/* Where nothing is left to be sent, something has to be, to see whether it arrives. */
static void send_probe(struct outlet *o)
{
    struct receipts *receipts = &o->receipts;
    if (receipts->stuck_ns == NEVER || !receipts->told ||
        receipts_is_under_way(receipts, o->results))
        return;
    struct kept *kept = &o->results->kept;
    actions_send(o->actions, SLOTS_SEND_RESULTS, kept_probe(kept, o->member->head));
    receipts->probe = kept->number;
}

static void report_sent(struct report *report, const struct large_sent *sent)
{
    if (!sent->whole || !sent->final)
        return;
    seqset_add(&report->finished, sent->seq, sent->seq);
    report->not_ok += !sent->ok;
}

static enum error send_pieces(struct outlet *o, struct report *report, struct why *why)
{
    while (o->pending_bytes < PIECES_PENDING_MAX) {
        struct block *piece;
        struct large_sent sent;
        enum error error = large_piece(&o->results->large, o->member->head, o->options->peer.name,
                                       &piece, &sent, why);
        if (error || !piece)
            return error;
        o->pending_bytes += block_bytes(piece).size;
        o->receipts.sent_offset += sent.size_bytes;
        actions_send(o->actions, SLOTS_SEND_RESULTS, piece);
        report_sent(report, &sent);
    }
    return ERR_NONE;
}

enum error outlet_send(struct outlet *o, struct report *report, uint64_t now_ns, struct why *why)
{
    if (!outlet_is_ready(o))
        return ERR_NONE;
    for (struct block *block; (block = kept_next(&o->results->kept, o->member->head)) != NULL;) {
        o->pending_bytes += block_bytes(block).size;
        actions_send(o->actions, SLOTS_SEND_RESULTS, block);
        o->progress_ns = now_ns;
    }
    enum error error = send_pieces(o, report, why);
    if (!error)
        send_probe(o);
    return error;
}

/* A sink that is there may be slow; where none is, another attempt is made soon. */
static uint64_t opening_ends(const struct outlet *o)
{
    uint64_t usual_ns = patience_limit(&o->member->patience, MEMBER_LIMIT_NS);
    uint64_t attempt_ns = patience_attempt(&o->patience, MEMBER_LIMIT_NS);
    return o->since_ns + (o->accepted && attempt_ns > usual_ns ? attempt_ns : usual_ns);
}

static void end_attempt(struct outlet *o, uint64_t now_ns)
{
    if (o->accepted)
        patience_in_vain(&o->patience, MEMBER_LIMIT_NS);
    outlet_fall(o, now_ns);
}

bool outlet_turn(struct outlet *o, uint64_t now_ns)
{
    if (o->state == OUTLET_OPENING && now_ns >= opening_ends(o))
        end_attempt(o, now_ns);
    if (!waits_for_receipt(o)) {
        o->receipts.moved_ns = now_ns;
    } else if (now_ns >= silence_ends(o)) {
        give_up_silent(o, now_ns);
        return true;
    }
    if (o->state == OUTLET_WAITING && member_in_session(o->member) && now_ns >= o->retry_ns)
        outlet_open(o, now_ns);
    return false;
}

uint64_t outlet_deadline(const struct outlet *o)
{
    if (o->state == OUTLET_OPENING)
        return opening_ends(o);
    if (o->state == OUTLET_WAITING && member_in_session(o->member))
        return o->retry_ns;
    return waits_for_receipt(o) ? silence_ends(o) : NEVER;
}
