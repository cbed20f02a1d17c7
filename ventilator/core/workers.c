/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/workers.h"

#include <assert.h>

#include "common/base/clock.h"
#include "ventilator/core/admission.h"
#include "ventilator/core/audit.h"
#include "ventilator/core/charges.h"
#include "ventilator/core/dispatcher_actions.h"
#include "ventilator/core/dispatcher_state.h"
#include "ventilator/core/joins.h"
#include "ventilator/core/liveness.h"
#include "ventilator/core/pending.h"
#include "ventilator/core/promises.h"
#include "ventilator/core/protests.h"
#include "ventilator/core/recall.h"
#include "ventilator/core/session_end.h"
#include "ventilator/core/sessions.h"
#include "ventilator/core/sink_session.h"
#include "ventilator/core/standing.h"

#define PACE_WINDOW_NS (100 * NS_PER_MS)

/* ---- what a session says ---- */

static void claim(struct dispatcher *d, struct session *s, struct bytes body)
{
    struct token token;
    enum error error = s->lane_claimed ? ERR_IN_USE : token_take(body, &token);
    if (error) {
        protests_worker(d, s, KIND_CLAIM, FRAME_HEAD_SIZE, error);
        return;
    }
    const struct opened_lane *opened = sessions_opened(d, &token);
    if (!opened || !key_equal(&opened->key, &s->key)) {
        session_end_say_again(d, s->connection, s->id); /* that lane is gone: join anew */
        return;
    }
    s->lane = opened->lane;
    s->lane_claimed = true;
    sessions_forget_opened(d, s->lane);
    index_set(&d->sessions.by_lane, s->lane, s);
    dispatcher_act(d, DISPATCHER_CLAIM_LANE, s->lane);
    if (s->leaving || d->end.stopping)
        session_end_lane(d, s);
}

/* The part of `named` that the session has and has not finished. */
static void still_open(const struct session *s, const struct seqset *named, struct seqset *open)
{
    for (size_t i = 0; i < named->count; i++)
        seqset_add_part(open, &s->out, named->ranges[i].first, named->ranges[i].last);
    seqset_remove_all(open, &s->finished);
}

/* After END a worker begins nothing: what it has runs, and is named after a second, or it has told what became
 * of it. Where nothing runs and nothing is told, nothing is to come. */
static bool withholds(const struct dispatcher *d, const struct session *s,
                      const struct seqset *running, uint64_t now_ns)
{
    uint64_t since_ns = s->ended_at_ns > s->pace_from_ns ? s->ended_at_ns : s->pace_from_ns;
    if (!s->ended || s->joins_anew || liveness_lane_is_busy(s) || session_unfinished(s) == 0 ||
        now_ns <= since_ns + d->options.limit_ns)
        return false;
    struct seqset named = {0};
    still_open(s, running, &named);
    bool are_none = seqset_empty(&named);
    seqset_free(&named);
    return are_none;
}

static void end_withholding(struct dispatcher *d, struct session *s, uint64_t now_ns)
{
    char more[THROTTLE_WORDS_SIZE];
    struct again m = {s->id, AGAIN_UNANSWERED,
                      bytes_of("it did not give back what it has not begun, within the limit "
                               "after END: join again")};
    if (throttle_line(&d->liveness.lines, SILENCE_LINES_A_MINUTE, now_ns))
        dispatcher_say(d,
                       "worker %s on %s does not give back what it has not begun (END), its tasks "
                       "go to others tasks=%llu%s",
                       s->name, s->host, (unsigned long long)s->out.members,
                       throttle_words(&d->liveness.lines, more));
    dispatcher_again(d, s->connection, &m);
    session_end(d, s, false, now_ns);
}

/* Returns whether the session is over. */
static bool workers_heartbeat(struct dispatcher *d, struct session *s, struct bytes body,
                              uint64_t now_ns)
{
    struct heartbeat m = {0};
    bool is_over = false;
    enum error error = heartbeat_take(body, &m);
    if (error) {
        protests_worker(d, s, KIND_HEARTBEAT, FRAME_HEAD_SIZE, error);
    } else {
        session_runs(s, &m.running, HEARTBEAT_RUNNING_MS * NS_PER_MS, now_ns);
        session_notes(s, &m);
        liveness_heartbeat(d, s, &m, now_ns);
        struct heartbeat answer = {.clock_ns = m.clock_ns};
        struct buf to = {0};
        wire_begin(&to, KIND_HEARTBEAT, dispatcher_head(d, KIND_HEARTBEAT, s->id));
        heartbeat_put(&to, &answer);
        dispatcher_send(d, s->connection, &to);
        is_over = withholds(d, s, &m.running, now_ns);
        if (is_over)
            end_withholding(d, s, now_ns);
        else
            is_over = promises_heartbeat(d, s, &m, now_ns);
    }
    heartbeat_free(&m);
    return is_over;
}

static void credit(struct dispatcher *d, struct session *s, struct bytes body, uint64_t now_ns)
{
    struct credit m;
    enum error error = credit_take(body, &m);
    if (error) {
        protests_worker(d, s, KIND_CREDIT, FRAME_HEAD_SIZE, error);
        return;
    }
    /* Running totals only grow: an old one that comes late does no harm. */
    if (m.tasks > s->credit.granted.tasks)
        s->credit.granted.tasks = m.tasks;
    if (m.size_bytes > s->credit.granted.size_bytes)
        s->credit.granted.size_bytes = m.size_bytes;
    if (m.reserve > s->credit.granted.reserve)
        s->credit.granted.reserve = m.reserve;
    liveness_lane(s, &m, now_ns);
}

/* So many tasks are reported done, or failed. */
static void note_pace(struct dispatcher *d, struct session *s, uint64_t tasks, uint64_t now_ns)
{
    uint64_t time_ns = now_ns > s->pace_from_ns ? now_ns - s->pace_from_ns : 0;
    if (!tasks)
        return;
    pace_add(&s->pace, time_ns, tasks, PACE_WINDOW_NS);
    pace_add(&d->standings.slot_pace, time_ns * s->slots, tasks,
             PACE_WINDOW_NS * d->sessions.count);
    s->pace_from_ns = now_ns;
}

/* It reports so many of these as not ok. */
static void note_fails(const struct dispatcher *d, struct session *s, const struct seqset *tasks,
                       uint64_t failed)
{
    if (failed < tasks->members)
        s->fails_in_a_row = 0;
    for (size_t i = 0; failed >= tasks->members && i < tasks->count; i++)
        for (uint64_t seq = tasks->ranges[i].first; seq <= tasks->ranges[i].last; seq++)
            pending_count_fail(d, s, seq);
}

static void workers_finished(struct dispatcher *d, struct session *s, struct bytes body,
                             uint64_t now_ns)
{
    struct finished m = {0};
    struct seqset open = {0};
    enum error error = finished_take(body, &m);
    if (error) {
        protests_worker(d, s, KIND_FINISHED, FRAME_HEAD_SIZE, error);
    } else {
        still_open(s, &m.tasks, &open);
        seqset_add_all(&s->finished, &open);
        note_pace(d, s, m.tasks.members, now_ns);
        if (seqset_has(&open, s->isolation.task))
            s->isolation.task = 0;
        note_fails(d, s, &open, m.failed);
        /* What is stored already was told before the worker had it to tell: tell it again. */
        struct range r;
        for (size_t i = 0; i < m.tasks.count; i++)
            for (uint64_t at = m.tasks.ranges[i].first, last = m.tasks.ranges[i].last;
                 at <= last && seqset_next(&d->ledger.stored, at, last, &r); at = r.last + 1)
                seqset_add(&s->notices.release, r.first, r.last);
        sessions_want_flush(d, s);
        dispatcher_moved(d, now_ns);
    }
    finished_free(&m);
    seqset_free(&open);
}

static bool holds_attempt(struct dispatcher *d, struct session *s, uint64_t seq,
                          struct attempt attempt)
{
    if (!seqset_has(&s->out, seq))
        return false;
    struct entry *entry = ledger_find(&d->ledger, seq);
    struct story *story = entry ? entry_story(entry, seq) : NULL;
    if (!story)
        return attempt.incarnation == d->options.incarnation && attempt.number == 1;
    struct holder *holder = story_holder(story, s);
    return holder && attempt_equal(holder->attempt, attempt);
}

static void workers_failed(struct dispatcher *d, struct session *s, struct bytes body,
                           uint64_t now_ns)
{
    struct attempt_list m = {0};
    enum error error = attempt_list_take(body, &m);
    if (error)
        protests_worker(d, s, KIND_FAILED, FRAME_HEAD_SIZE, error);
    else
        note_pace(d, s, m.count, now_ns);
    for (size_t i = 0; i < m.count; i++)
        if (holds_attempt(d, s, m.items[i].seq, m.items[i].attempt))
            pending_failed(d, s, m.items[i].seq, now_ns);
    attempt_list_free(&m);
}

static void workers_give_back(struct dispatcher *d, struct session *s, uint64_t seq,
                              enum returned_reason reason, uint64_t now_ns)
{
    if (reason == RETURNED_INTERRUPTED)
        charges_interrupted(d, s, seq, now_ns);
    pending_take_back(d, s, seq);
}

static void workers_returned(struct dispatcher *d, struct session *s, struct bytes body,
                             uint64_t now_ns)
{
    struct returned m = {0};
    struct seqset open = {0};
    enum error error = returned_take(body, &m);
    if (error) {
        protests_worker(d, s, KIND_RETURNED, FRAME_HEAD_SIZE, error);
    } else {
        still_open(s, &m.tasks, &open);
        for (size_t i = 0; i < open.count; i++)
            for (uint64_t seq = open.ranges[i].first; seq <= open.ranges[i].last; seq++)
                workers_give_back(d, s, seq, m.reason, now_ns);
        if (m.reason != RETURNED_INTERRUPTED)
            recall_answered(s, open.members, now_ns);
        seqset_remove_all(&s->had, &open);
        if (m.reason == RETURNED_NOT_STARTED)
            s->leaving = true;
        if (open.members)
            dispatcher_moved(d, now_ns);
    }
    returned_free(&m);
    seqset_free(&open);
}

/* Its heartbeat says that it lives, and whatever it had to say came before: it will never answer. */
static bool end_unanswering(struct dispatcher *d, struct session *s, uint64_t now_ns)
{
    char more[THROTTLE_WORDS_SIZE];
    struct again m = {s->id, AGAIN_UNANSWERED,
                      bytes_of("it did not answer RECALL within the limit: join again")};
    if (!recall_is_overdue(d, s, now_ns))
        return false;
    if (throttle_line(&d->liveness.lines, SILENCE_LINES_A_MINUTE, now_ns))
        dispatcher_say(
            d,
            "worker %s on %s does not answer when tasks are asked back (RECALL), its tasks go to "
            "others tasks=%llu%s",
            s->name, s->host, (unsigned long long)s->out.members,
            throttle_words(&d->liveness.lines, more));
    dispatcher_again(d, s->connection, &m);
    session_end(d, s, false, now_ns);
    return true;
}

void workers_message(struct dispatcher *d, struct session *s, enum wire_kind kind,
                     struct bytes body, uint64_t now_ns)
{
    liveness_heard(d, s, now_ns);
    s->errors.astray = 0;
    if (kind == KIND_HEARTBEAT) {
        if (end_unanswering(d, s, now_ns) || workers_heartbeat(d, s, body, now_ns))
            return;
    } else if (kind == KIND_CREDIT)
        credit(d, s, body, now_ns);
    else if (kind == KIND_CLAIM)
        claim(d, s, body);
    else if (kind == KIND_FINISHED)
        workers_finished(d, s, body, now_ns);
    else if (kind == KIND_FAILED)
        workers_failed(d, s, body, now_ns);
    else if (kind == KIND_RETURNED)
        workers_returned(d, s, body, now_ns);
    else if (kind == KIND_LEAVE) {
        s->leaving = true;
        session_end_lane(d, s);
    } else if (kind == KIND_BYE) {
        session_end(d, s, false, now_ns);
        return;
    } else if (kind == KIND_PROTEST)
        protests_from_worker(d, s, body);
    else
        protests_worker(d, s, kind, 0, ERR_KIND);
    standing_note(d, s);
}

/* ---- connections and time ---- */

/* The session had both connections and has none: its worker is dead, or may be until it joins again. */
static bool seems_dead(const struct session *s)
{
    return s->lane_claimed && s->connection == 0 && s->lane == 0;
}

/* A worker that is to join anew may have closed both itself: for the limit its JOIN is waited for. */
static void closed_half(struct dispatcher *d, struct session *s, uint64_t now_ns)
{
    if (s->connection == 0 && s->lane == 0 && !s->joins_anew)
        session_end(d, s, seems_dead(s), now_ns);
    else if (s->half_closed_at_ns == NEVER)
        s->half_closed_at_ns = now_ns;
}

void dispatcher_control_closed(struct dispatcher *d, uint64_t connection, uint64_t now_ns)
{
    joins_forget(d, connection);
    if (d->sink.connection == connection)
        sink_session_closed(d, now_ns);
    struct session *s = index_get(&d->sessions.by_connection, connection);
    index_remove(&d->sessions.by_connection, connection);
    if (!s)
        return;
    s->connection = 0;
    standing_note(d, s);
    closed_half(d, s, now_ns);
}

void dispatcher_lane_closed(struct dispatcher *d, uint64_t lane, uint64_t now_ns)
{
    sessions_forget_opened(d, lane);
    struct session *s = index_get(&d->sessions.by_lane, lane);
    index_remove(&d->sessions.by_lane, lane);
    if (!s)
        return;
    s->lane = 0;
    standing_note(d, s);
    closed_half(d, s, now_ns);
}

void workers_admitted_changed(struct dispatcher *d, uint64_t now_ns)
{
    joins_admitted_changed(d);
    for (size_t i = d->sessions.count; i-- > 0;) {
        struct session *s = d->sessions.items[i];
        if (admission_has(d, &s->key, KEY_WORKER))
            continue;
        dispatcher_say(d,
                       "the key of worker %s on %s is revoked, its tasks go to others tasks=%llu",
                       s->name, s->host, (unsigned long long)s->out.members);
        if (s->connection)
            dispatcher_cut(d, s->connection);
        session_end(d, s, false, now_ns);
    }
}

/* Or since when it is not whole. */
static uint64_t silent_since(const struct session *s)
{
    return s->half_closed_at_ns < s->heard.at_ns ? s->half_closed_at_ns : s->heard.at_ns;
}

static bool is_gone(const struct dispatcher *d, const struct session *s, uint64_t now_ns)
{
    return now_ns > silent_since(s) + liveness_limit(d, s);
}

static void say_silent(struct dispatcher *d, const struct session *s, uint64_t now_ns)
{
    char more[THROTTLE_WORDS_SIZE];
    if (throttle_line(&d->liveness.lines, SILENCE_LINES_A_MINUTE, now_ns))
        dispatcher_say(d, "worker %s on %s is silent, its tasks go to others tasks=%llu%s", s->name,
                       s->host, (unsigned long long)s->out.members,
                       throttle_words(&d->liveness.lines, more));
}

/* Whoever is heard later, is closed later or comes later, is given up later than was found here, until how late
 * they are is looked at again: so the next search can wait until then. */
static void end_silent(struct dispatcher *d, uint64_t now_ns)
{
    d->liveness.silent_from_ns = now_ns + d->options.heartbeat_ns;
    liveness_look(d);
    for (size_t i = d->sessions.count; i-- > 0;) {
        struct session *s = d->sessions.items[i];
        if (is_gone(d, s, now_ns)) {
            say_silent(d, s, now_ns);
            session_end(d, s, seems_dead(s), now_ns);
            continue;
        }
        uint64_t ends_ns = silent_since(s) + liveness_limit(d, s);
        if (ends_ns < d->liveness.silent_from_ns)
            d->liveness.silent_from_ns = ends_ns;
    }
}

void workers_turn(struct dispatcher *d, uint64_t now_ns)
{
    if (d->waiting.count && d->job && d->sink.ready && !audit_reads(d))
        joins_welcome_waiting(d, now_ns);
    if (now_ns >= d->liveness.silent_from_ns)
        end_silent(d, now_ns);
    if (!d->held_ns)
        charges_turn(d, now_ns);
}
