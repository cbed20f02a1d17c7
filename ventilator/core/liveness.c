/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/liveness.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "ventilator/core/dispatcher_actions.h"
#include "ventilator/core/dispatcher_state.h"
#include "ventilator/core/pending.h"
#include "ventilator/core/sessions.h"
#include "ventilator/core/workers.h"

/* Whether each of a worker's connections lives, by what this protocol has acknowledged on it, and not by
 * what the kernel has taken (docs/protocol.md, 18). Control is judged by its heartbeats (workers.c). What is
 * judged here is judged when a heartbeat comes: so the worker is alive, and all that it has to say about its
 * lane came before.
 *
 *     lane      CREDIT says what has arrived. Nothing more for the limit, though something is under way: it is
 *               closed and the worker joins again; what it does not name then goes elsewhere.
 *     results   the sink's note says what has arrived, and the worker is told. It finds out for itself, makes
 *               the connection anew, and says so: it gets nothing more, and when that lasts, what it has
 *               finished is run elsewhere. */

enum {
    LASTS_LIMITS = 3,    /* so many times the limit without a result: run elsewhere */
    LANE_LIMITS_MAX = 4, /* so many times the limit a lane may be silent where nothing has moved */
};

static size_t frame_max(bool is_careful, size_t usual)
{
    return is_careful && usual > FRAME_CAREFUL ? FRAME_CAREFUL : usual;
}

size_t liveness_frame_max(const struct session *s, size_t usual)
{
    return frame_max(s && s->lane_state.is_careful, usual);
}

size_t liveness_sink_frame_max(const struct dispatcher *d, size_t usual)
{
    return frame_max(d->sink.is_careful, usual);
}

void liveness_go_on(struct session *s, const struct session *before)
{
    s->lane_state.is_careful = before->lane_state.is_careful;
    s->lane_state.limit_ns = before->lane_state.limit_ns;
    s->lane_state.rest_ns = before->lane_state.rest_ns;
    s->lane_state.rests_until_ns = before->lane_state.rests_until_ns;
    s->results.stuck_ms = before->results.stuck_ms;
}

/* A line about a worker; many of them at once are counted. */
static void say_of(struct dispatcher *d, const struct session *s, const char *text, uint64_t tasks,
                   uint64_t now_ns)
{
    char more[THROTTLE_WORDS_SIZE];
    if (throttle_line(&d->liveness.lines, SILENCE_LINES_A_MINUTE, now_ns))
        dispatcher_say(d, "worker %s on %s %s tasks=%llu%s", s->name, s->host, text,
                       (unsigned long long)tasks, throttle_words(&d->liveness.lines, more));
}

/* ---- control ---- */

uint64_t liveness_late_ns(const struct dispatcher *d, uint64_t now_ns)
{
    uint64_t due_ns = d->turned_at_ns + d->options.heartbeat_ns;
    return now_ns > due_ns ? now_ns - due_ns : 0;
}

static void note_heard(const struct dispatcher *d, uint64_t *heard_at_ns, struct patience *p,
                       uint64_t now_ns)
{
    uint64_t due_ns = *heard_at_ns + d->options.heartbeat_ns;
    if (now_ns > due_ns)
        patience_late(p, now_ns - due_ns, liveness_late_ns(d, now_ns));
    *heard_at_ns = now_ns;
}

void liveness_heard(const struct dispatcher *d, struct session *s, uint64_t now_ns)
{
    note_heard(d, &s->heard.at_ns, &s->heard.patience, now_ns);
    s->speaks = true;
}

void liveness_sink_heard(struct dispatcher *d, uint64_t now_ns)
{
    note_heard(d, &d->sink.heard.at_ns, &d->sink.heard.patience, now_ns);
}

/* One that is late says nothing of the others; if all are, it is the machine, or this process. */
void liveness_look(struct dispatcher *d)
{
    uint64_t sum_ns = 0;
    patience_fade(&d->liveness.patience);
    patience_fade(&d->sink.heard.patience);
    for (size_t i = 0; i < d->sessions.count; i++)
        sum_ns += d->sessions.items[i]->heard.patience.late_ns;
    if (d->sessions.count)
        patience_late(&d->liveness.patience, sum_ns / d->sessions.count, 0);
}

/* One that has just come and has nothing yet can take its time: nobody waits for it. */
uint64_t liveness_limit(const struct dispatcher *d, const struct session *s)
{
    uint64_t usual_ns = d->options.limit_ns;
    uint64_t own_ns = patience_limit(&s->heard.patience, usual_ns);
    uint64_t all_ns = patience_limit(&d->liveness.patience, usual_ns);
    if (!s->speaks && seqset_empty(&s->out))
        return PATIENCE_MOST * usual_ns;
    return own_ns > all_ns ? own_ns : all_ns;
}

/* ---- the lane ---- */

static uint64_t lane_limit(const struct dispatcher *d, const struct session *s)
{
    uint64_t usual_ns = liveness_limit(d, s);
    return s->lane_state.limit_ns > usual_ns ? s->lane_state.limit_ns : usual_ns;
}

bool liveness_lane_is_busy(const struct session *s)
{
    return s->lane && s->tells_receipts &&
           (s->batch > s->lane_state.arrived.batch ||
            s->lane_state.offset > s->lane_state.arrived.offset);
}

/* A link that takes long for a frame needs a longer limit: it falls again by and by. */
static void liveness_note_movement(struct session *s, uint64_t now_ns)
{
    s->lane_state.rest_ns -= s->lane_state.rest_ns / 8;
    patience_moved(&s->lane_state.limit_ns, now_ns - s->lane_state.moved_at_ns);
    s->lane_state.moved_at_ns = now_ns;
}

void liveness_lane(struct session *s, const struct credit *m, uint64_t now_ns)
{
    struct reach *arrived = &s->lane_state.arrived;
    if (m->received_batch <= arrived->batch && m->received_offset <= arrived->offset)
        return;
    if (m->received_batch > arrived->batch)
        arrived->batch = m->received_batch;
    if (m->received_offset > arrived->offset)
        arrived->offset = m->received_offset;
    liveness_note_movement(s, now_ns);
}

uint64_t liveness_lane_silence_ns(const struct dispatcher *d, const struct session *s,
                                  uint64_t now_ns)
{
    bool is_silent = liveness_lane_is_busy(s) &&
                     now_ns > s->lane_state.moved_at_ns + d->options.heartbeat_ns * 2;
    return is_silent ? now_ns - s->lane_state.moved_at_ns : 0;
}

/* From now on its worker is to join again, and names what it has: so nothing is run twice that it runs. */
static void demand_join(struct dispatcher *d, struct session *s, enum again_reason reason,
                        const char *sentence)
{
    struct again m = {s->id, reason, bytes_of(sentence)};
    s->joins_anew = true;
    struct buf to = {0};
    wire_begin(&to, KIND_AGAIN, dispatcher_head(d, KIND_AGAIN, s->id));
    again_put(&to, &m);
    dispatcher_send(d, s->connection, &to);
}

/* What goes down such a lane, or is finished behind such a results connection, is held up each time until that
 * is found out. So after the second time in a row there is a pause, and it grows: what was lost there goes
 * elsewhere, though this worker idles. */
static void give_rest(struct dispatcher *d, struct session *s, uint64_t now_ns)
{
    uint64_t usual_ns = d->options.limit_ns;
    if (s->lane_state.rest_ns >= usual_ns)
        s->lane_state.rests_until_ns = now_ns + s->lane_state.rest_ns;
    s->lane_state.rest_ns =
        clock_earlier(2 * (s->lane_state.rest_ns > usual_ns ? s->lane_state.rest_ns : usual_ns),
                      d->options.give_up_ns);
}

static void close_lane(struct dispatcher *d, struct session *s, uint64_t now_ns)
{
    char sentence[160], line[200];
    double silent_s = (double)(now_ns - s->lane_state.moved_at_ns) / (double)NS_PER_S;
    snprintf(sentence, sizeof sentence,
             "nothing that was sent down its lane has arrived there for %.1f s: the lane is closed "
             "and made "
             "anew",
             silent_s);
    snprintf(line, sizeof line, "is there, but %s", sentence);
    say_of(d, s, line, session_unfinished(s), now_ns);
    uint64_t most_ns = clock_earlier(LANE_LIMITS_MAX * d->options.limit_ns, d->options.give_up_ns);
    if (lane_limit(d, s) < most_ns)
        s->lane_state.limit_ns = clock_earlier(2 * lane_limit(d, s), most_ns);
    give_rest(d, s, now_ns);
    s->lane_state.is_careful = true;
    demand_join(d, s, AGAIN_SILENT_LANE, sentence);
    sessions_close_lane(d, s, now_ns);
}

static void check_lane(struct dispatcher *d, struct session *s, uint64_t now_ns)
{
    if (!liveness_lane_is_busy(s))
        s->lane_state.moved_at_ns = now_ns;
    else if (now_ns > s->lane_state.moved_at_ns + lane_limit(d, s))
        close_lane(d, s, now_ns);
}

/* ---- results ---- */

void liveness_results(struct dispatcher *d, const struct stored_note *m)
{
    for (size_t i = 0; i < m->received_count; i++) {
        struct session *s = index_get(&d->sessions.by_id, m->received[i].session);
        if (s)
            s->results.arrived = (struct reach){m->received[i].batch, m->received[i].offset};
    }
}

/* A sink that has just come, or that was not heard for a moment, or is late itself, proves nothing against a
 * worker. */
static bool sink_reads(const struct dispatcher *d, uint64_t now_ns)
{
    return d->sink.ready && !d->sink.says.is_holding &&
           d->sink.heard.patience.late_ns <= d->options.heartbeat_ns &&
           now_ns <= d->sink.heard.at_ns + d->options.limit_ns / 2;
}

static void tell_received(struct dispatcher *d, struct session *s, uint64_t now_ns)
{
    struct received m = {s->results.arrived.batch, s->results.arrived.offset,
                         sink_reads(d, now_ns) ? 0 : RECEIVED_NOT_READING};
    bool is_known = s->results.was_told && memcmp(&m, &s->results.told, sizeof m) == 0;
    if (is_known || !d->sink.terms.tells_receipts)
        return;
    struct buf to = {0};
    wire_begin(&to, KIND_RECEIVED, dispatcher_head(d, KIND_RECEIVED, s->id));
    received_put(&to, &m);
    dispatcher_send(d, s->connection, &to);
    s->results.told = m;
    s->results.was_told = true;
}

/* Whoever else can have it runs it again; the worker keeps its results, and loses nothing by it. */
static void strip(struct dispatcher *d, struct session *s, uint64_t now_ns)
{
    if (seqset_empty(&s->finished))
        return;
    char line[160];
    snprintf(line, sizeof line,
             "has not reached the sink for %.1f s: what it has finished is run elsewhere",
             (double)s->results.stuck_ms / 1e3);
    say_of(d, s, line, s->finished.members, now_ns);
    while (!seqset_empty(&s->finished))
        pending_take_back(d, s, seqset_min(&s->finished));
    s->results.is_stripped = true;
    dispatcher_moved(d, now_ns);
}

static void note_stuck(struct dispatcher *d, struct session *s, uint64_t stuck_ms, uint64_t now_ns)
{
    uint64_t lasts_ns = LASTS_LIMITS * liveness_limit(d, s);
    bool began = stuck_ms && !s->results.stuck_ms, ended = !stuck_ms && s->results.stuck_ms;
    s->results.stuck_ms = stuck_ms;
    char line[200];
    snprintf(line, sizeof line,
             "does not reach the sink: nothing of its results has arrived there for %.1f s; it "
             "gets no tasks "
             "until something does",
             (double)stuck_ms / 1e3);
    if (began)
        say_of(d, s, line, s->finished.members, now_ns);
    if (ended)
        say_of(d, s, "reaches the sink again", s->finished.members, now_ns);
    if (ended && s->results.is_stripped) {
        /* It is to say what it keeps, and is told what is stored of that. */
        give_rest(d, s, now_ns);
        demand_join(d, s, AGAIN_STRIPPED, "what it had finished was run elsewhere");
    }
    if (stuck_ms * NS_PER_MS >= lasts_ns && sink_reads(d, now_ns) &&
        now_ns >= d->sink.ready_at_ns + lasts_ns && !d->end.settled)
        strip(d, s, now_ns);
}

void liveness_heartbeat(struct dispatcher *d, struct session *s, const struct heartbeat *m,
                        uint64_t now_ns)
{
    patience_fade(&s->heard.patience);
    uint64_t stuck_ms = m->results_stuck_ms < UINT32_MAX ? m->results_stuck_ms : UINT32_MAX;
    if (now_ns >= s->lane_state.rests_until_ns)
        s->lane_state.rests_until_ns = 0;
    if (s->joins_anew)
        return;
    /* A sink that does not read is reached by none. */
    if (!d->sink.ready || now_ns < d->sink.ready_at_ns + d->options.limit_ns)
        stuck_ms = 0;
    note_stuck(d, s, stuck_ms, now_ns);
    if (s->joins_anew)
        return;
    tell_received(d, s, now_ns);
    check_lane(d, s, now_ns);
}
