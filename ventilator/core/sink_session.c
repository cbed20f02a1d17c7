/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/sink_session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/endpoint.h"
#include "ventilator/core/admission.h"
#include "ventilator/core/charges.h"
#include "ventilator/core/dispatcher_state.h"
#include "ventilator/core/halt_order.h"
#include "ventilator/core/handed.h"
#include "ventilator/core/joins.h"
#include "ventilator/core/liveness.h"
#include "ventilator/core/promises.h"
#include "ventilator/core/protests.h"
#include "ventilator/core/schedule.h"
#include "ventilator/core/verdicts.h"
#include "ventilator/core/workers.h"

/* How long the sink is waited for at the end, and then workers whose parent ends them otherwise. */
#define LEAVE_NS (1 * NS_PER_S)

/* ---- JOIN ---- */

/* Where workers find the sink. A sink that names no host, or only this machine, is where its
 * control connection comes from; if that is this machine, workers are told the port alone, which
 * means "where the ventilator is". */
static void note_endpoint(struct dispatcher *d, struct bytes told, const char *address)
{
    char text[ENDPOINT_TEXT_SIZE];
    struct endpoint endpoint;
    snprintf(text, sizeof text, "%.*s", (int)told.size, (const char *)told.data);
    snprintf(d->sink.terms.results, sizeof d->sink.terms.results, "%s", text);
    if (endpoint_parse(text, ENDPOINT_BIND, &endpoint, NULL) || endpoint.ipc ||
        !(endpoint_is_wildcard(&endpoint) || endpoint_is_loopback(&endpoint)))
        return;
    struct endpoint from = endpoint;
    if (!address[0] || endpoint_set_host(&from, address, NULL) || endpoint_is_loopback(&from))
        snprintf(d->sink.terms.results, sizeof d->sink.terms.results, "%u", endpoint.port);
    else
        endpoint_format(&from, d->sink.terms.results);
}

/* A job can be taken up when it is this ventilator's, or when neither it nor this life has anything
 * stored yet. Returns false after a refusal. */
static bool sink_session_fits(struct dispatcher *d, uint64_t connection, struct frame_head head,
                              const struct sink_join *join)
{
    bool fresh = seqset_empty(&join->stored) && !(join->flags & SINK_CLOSED);
    bool can_read_again = !(join->flags & SINK_VOLATILE) && d->ledger.read == 0;
    if (d->job == 0 || (d->job != head.job && seqset_empty(&d->ledger.stored))) {
        if (fresh || can_read_again)
            return true;
        dispatcher_refuse(d, connection, REFUSE_OTHER_JOB,
                          "this sink has results of another run of the ventilator; start a new "
                          "sink for a new run");
        return false;
    }
    if (d->job != head.job) {
        dispatcher_refuse(d, connection, REFUSE_RESULTS_GONE,
                          "the sink before this one had results that are gone with it");
        dispatcher_exit(d, 255,
                        "the sink is gone and %llu results with it; start the run again, with a "
                        "sink that stays",
                        (unsigned long long)d->ledger.stored.members);
        return false;
    }
    struct seqset gone = {0};
    seqset_copy(&gone, &d->ledger.stored);
    seqset_add_all(&gone, &d->audit.stored);
    seqset_remove_all(&gone, &join->stored);
    uint64_t lacking = gone.members, first = seqset_min(&gone);
    seqset_free(&gone);
    if (lacking) {
        dispatcher_refuse(d, connection, REFUSE_RESULTS_GONE, "results that were stored are gone");
        dispatcher_exit(d, 255,
                        "the sink lacks %llu results that it had stored, the first is task %llu",
                        (unsigned long long)lacking, (unsigned long long)first);
    }
    return lacking == 0;
}

static void send_welcome(struct dispatcher *d)
{
    struct sink_welcome m = {.heartbeat_ms = d->options.heartbeat_ns / NS_PER_MS,
                             .limit_ms = d->options.limit_ns / NS_PER_MS,
                             .epoch = d->sink.epoch,
                             .fingerprint = d->options.fingerprint,
                             .features = d->sink.terms.wants_handed ? FEATURE_HANDED : 0};
    struct buf to = {0};
    wire_begin(&to, KIND_WELCOME, dispatcher_head(d, KIND_WELCOME, d->sink.session));
    sink_welcome_put(&to, &m);
    dispatcher_send(d, d->sink.connection, &to);
}

static void tell_workers(struct dispatcher *d)
{
    struct sink_news m = {.epoch = d->sink.epoch,
                          .results = bytes_of(d->sink.terms.results),
                          .sink = d->sink.key,
                          .wants = d->sink.terms.wants};
    for (size_t i = 0; i < d->sessions.count; i++) {
        d->sessions.items[i]->results.arrived = (struct reach){0}; /* it says that anew */
        d->sessions.items[i]->results.was_told = false;
        if (!d->sessions.items[i]->connection)
            continue;
        struct buf to = {0};
        wire_begin(&to, KIND_SINK, dispatcher_head(d, KIND_SINK, d->sessions.items[i]->id));
        sink_news_put(&to, &m);
        dispatcher_send(d, d->sessions.items[i]->connection, &to);
    }
}

static void sink_session_adopt(struct dispatcher *d, const struct origin *from,
                               struct frame_head head, const struct sink_join *join,
                               uint64_t now_ns)
{
    d->sink.terms.is_volatile = join->flags & SINK_VOLATILE;
    d->sink.terms.wants_total = join->flags & SINK_WANTS_TOTAL;
    d->sink.terms.tells_receipts = join->features & FEATURE_RECEIPTS;
    d->sink.terms.wants_handed = join->features & FEATURE_HANDED;
    if (d->job != head.job) {
        workers_end_all(d, now_ns); /* their sessions are of a job that never was */
        d->job = head.job;
        if (d->ledger.read == 0)
            audit_begin(d, join, now_ns);
    } else {
        audit_note_stored(d, &join->stored);
    }
    /* The session before may have ended since a VERDICT took too long to get there. */
    d->sink.is_careful =
        d->sink.instance == join->peer.instance &&
        (d->sink.is_careful || d->pending.loss_reported.members > d->pending.unsaid.members);
    if (d->sink.instance != join->peer.instance) {
        d->sink.epoch = ++d->sink.last_epoch;
        seqset_clear(&d->sink.taken);
        d->sink.known_session = 0;
    }
    d->sink.connection = from->connection;
    d->sink.key = from->key;
    d->sink.session = ++d->sessions.last_id;
    d->sink.instance = join->peer.instance;
    d->sink.terms.opening = join->opening;
    d->sink.ready = false;
    d->sink.heard.at_ns = now_ns;
    d->sink.terms.wants = join->wants & WANT_ALL;
    d->sink.terms.halt = join->halt;
    note_endpoint(d, join->results, from->address);
    send_welcome(d);
    handed_begin(d);
    admission_tell_sink(d);
    tell_workers(d);
    dispatcher_moved(d, now_ns);
}

/* Connections have no common order: a JOIN on one that was given up may come after the sink has
 * been welcomed on the next, and what it says is stored is not the truth any more. */
static bool is_stale(const struct dispatcher *d, struct frame_head head,
                     const struct sink_join *join)
{
    return d->sink.instance == join->peer.instance && d->sink.known_session &&
           (head.incarnation != d->options.incarnation || head.session < d->sink.known_session);
}

/* One that opened the job's store later is no second one: the store is locked, so the sink that is
 * connected has died, and its connection does not know yet. */
static bool is_second(const struct dispatcher *d, uint64_t connection, struct frame_head head,
                      const struct sink_join *join)
{
    bool is_next = head.job == d->job && join->opening > d->sink.terms.opening;
    return d->sink.connection && d->sink.connection != connection &&
           d->sink.instance != join->peer.instance && !is_next;
}

/* What such a one says is stored was the truth once: its JOIN comes late, or its store is a copy. */
static bool is_outdated(const struct dispatcher *d, struct frame_head head,
                        const struct sink_join *join)
{
    return head.job == d->job && join->opening < d->sink.terms.opening;
}

void sink_session_join(struct dispatcher *d, const struct origin *from, struct frame_head head,
                       struct bytes body, uint64_t now_ns)
{
    uint64_t connection = from->connection;
    struct sink_join join = {0};
    enum error error = sink_join_take(body, &join);
    if (!error && head.job == 0)
        error = ERR_MALFORMED;
    if (error)
        protests_join(d, from, error);
    else if (is_stale(d, head, &join))
        d->protests.dropped++;
    else if (is_outdated(d, head, &join))
        dispatcher_refuse(d, connection, REFUSE_RESULTS_GONE,
                          "a sink has joined that opened the store of this job after this one; is "
                          "this an older copy of it?");
    else if (is_second(d, connection, head, &join))
        dispatcher_refuse(d, connection, REFUSE_SECOND_SINK,
                          "another sink is connected; a farm has one");
    else if (d->end.closed)
        dispatcher_refuse(d, connection, REFUSE_OVER, "the job is over");
    else if (sink_session_fits(d, connection, head, &join))
        sink_session_adopt(d, from, head, &join, now_ns);
    sink_join_free(&join);
}

void sink_session_closed(struct dispatcher *d, uint64_t now_ns)
{
    d->sink.connection = 0;
    d->sink.ready = false;
    d->sink.says.order_full = d->sink.says.is_unread = d->sink.says.has_no_room =
        d->sink.says.is_holding = false;
    d->sink.absent_since_ns = now_ns;
}

/* ---- STORED ---- */

static void release_at(struct dispatcher *d, struct session *s, uint64_t first, uint64_t last)
{
    session_forget(s, first, last);
    seqset_add(&s->notices.release, first, last);
    schedule_note(d, s);
    dispatcher_want_flush(d, s);
}

/* Of several that have the task, those that are not through with it are told to stop. */
static void release_story(struct dispatcher *d, const struct story *story)
{
    charges_forget(d, story->seq);
    for (unsigned i = 0; i < story->holder_count; i++) {
        const struct holder *h = &story->holders[i];
        if (story->holder_count > 1 && !seqset_has(&h->session->finished, story->seq)) {
            struct cancel_item item = {story->seq, h->attempt, h->batch};
            buf_put(&h->session->notices.cancel, &item, sizeof item);
        }
        release_at(d, h->session, story->seq, story->seq);
    }
}

/* first..last: not stored before, and inside the entry. */
static void store_in_entry(struct dispatcher *d, struct entry *entry, uint64_t first, uint64_t last)
{
    for (size_t i = entry_story_place(entry, first);
         i < entry->story_count && entry->stories[i].seq <= last; i++)
        release_story(d, &entry->stories[i]);
    struct range r;
    if (entry->home)
        for (uint64_t at = first; at <= last && seqset_next(&entry->home->out, at, last, &r);
             at = r.last + 1)
            release_at(d, entry->home, r.first, r.last);
    ledger_store(&d->ledger, entry, first, last);
}

static void store_range(struct dispatcher *d, uint64_t first, uint64_t last)
{
    schedule_unqueue(d, first, last);
    seqset_remove(&d->pending.loss_reported, first, last);
    seqset_remove(&d->pending.unsaid, first, last);
    seqset_remove(&d->sink.taken, first, last);
    while (first <= last) {
        struct entry *entry = ledger_next(&d->ledger, first, last);
        if (!entry)
            return;
        uint64_t from = entry->first > first ? entry->first : first;
        uint64_t to =
            entry->first + entry->count - 1 < last ? entry->first + entry->count - 1 : last;
        store_in_entry(d, entry, from, to);
        first = to + 1;
    }
}

void sink_session_stored(struct dispatcher *d, const struct seqset *tasks, uint64_t now_ns)
{
    for (size_t i = 0; i < tasks->count; i++) {
        uint64_t last = tasks->ranges[i].last;
        if (last > d->ledger.read)
            last = d->ledger.read;
        struct range fresh;
        for (uint64_t at = tasks->ranges[i].first;
             at <= last && seqset_next_gap(&d->ledger.stored, at, last, &fresh);
             at = fresh.last + 1) {
            store_range(d, fresh.first, fresh.last);
            d->stored_at_ns = now_ns;
            dispatcher_moved(d, now_ns);
        }
    }
}

/* All that follow are sent again too: of gaps that come before the first is passed on, the lowest counts. */
static void note_gaps(struct dispatcher *d, const struct stored_note *m)
{
    for (size_t i = 0; i < m->gap_count; i++) {
        struct session *s = index_get(&d->sessions.by_id, m->gaps[i].session);
        uint64_t batch = m->gaps[i].batch;
        if (s && batch) {
            s->notices.resend_from = s->notices.resend_from && s->notices.resend_from < batch
                                         ? s->notices.resend_from
                                         : batch;
            dispatcher_want_flush(d, s);
        }
    }
}

static uint64_t slots_of_all(const struct dispatcher *d)
{
    uint64_t slots = 0;
    for (size_t i = 0; i < d->sessions.count; i++)
        slots += d->sessions.items[i]->slots;
    return slots;
}

void sink_session_tell_status(struct dispatcher *d)
{
    if (!d->sink.ready)
        return;
    struct status m = {.total = d->reading.ended ? d->ledger.read : d->options.total,
                       .read = d->ledger.read,
                       .queued = schedule_waiting(d),
                       .flags = d->reading.looks | (d->reading.ended ? STATUS_INPUT_ENDED : 0),
                       .workers = d->sessions.count,
                       .executor = d->executor,
                       .slots = slots_of_all(d)};
    m.out = d->ledger.read - d->ledger.stored.members - m.queued;
    struct buf to = {0};
    wire_begin(&to, KIND_STATUS, dispatcher_head(d, KIND_STATUS, d->sink.session));
    status_put(&to, &m);
    dispatcher_send(d, d->sink.connection, &to);
}

static void stored_note(struct dispatcher *d, struct bytes body, uint64_t now_ns)
{
    struct stored_note m = {0};
    enum error error = stored_note_take(body, &m);
    if (error) {
        protests_sink(d, KIND_STORED, FRAME_HEAD_SIZE, error);
    } else if (m.epoch == d->sink.epoch) {
        bool first = !d->sink.ready;
        d->sink.ready = true;
        d->sink.known_session = d->sink.session;
        d->sink.says.order_full = m.flags & STORED_ORDER_FULL;
        d->sink.says.is_unread = m.flags & STORED_UNREAD;
        if (!d->sink.says.has_no_room)
            d->end.no_room_ns = now_ns;
        d->sink.says.has_no_room = m.flags & STORED_NO_ROOM;
        promises_note(d, &m, now_ns);
        d->sink.says.is_holding = m.flags & STORED_NOT_READING;
        if (first)
            d->sink.ready_at_ns = now_ns;
        liveness_results(d, &m);
        audit_note_stored(d, &m.tasks);
        if (first)
            audit_ask_again(d);
        audit_withhold(d, &m.tasks);
        if (!d->end
                 .settled) /* the sink drops what it is told not to wait for, and calls it stored */
            sink_session_stored(d, &m.tasks, now_ns);
        note_gaps(d, &m);
        if (first) {
            seqset_copy(&d->pending.unsaid, &d->pending.loss_reported);
            d->end.done_sent = false;
            sink_session_tell_status(d);
            halt_order_tell(d);
            joins_welcome_waiting(d, now_ns);
        }
    }
    stored_note_free(&m);
}

/* ---- the other messages ---- */

static void sink_session_heartbeat(struct dispatcher *d, struct bytes body)
{
    struct heartbeat m = {0};
    enum error error = heartbeat_take(body, &m);
    if (error) {
        protests_sink(d, KIND_HEARTBEAT, FRAME_HEAD_SIZE, error);
    } else {
        handed_tell(d); /* the answer says that all is said that was handed out before */
        struct heartbeat answer = {.clock_ns = m.clock_ns};
        struct buf to = {0};
        wire_begin(&to, KIND_HEARTBEAT, dispatcher_head(d, KIND_HEARTBEAT, d->sink.session));
        heartbeat_put(&to, &answer);
        dispatcher_send(d, d->sink.connection, &to);
        sink_session_tell_status(d);
    }
    heartbeat_free(&m);
}

static void say_bye(struct dispatcher *d)
{
    struct buf m = {0};
    wire_begin(&m, KIND_BYE, dispatcher_head(d, KIND_BYE, d->sink.session));
    dispatcher_send(d, d->sink.connection, &m);
}

static void closed(struct dispatcher *d, struct bytes body, uint64_t now_ns)
{
    enum error error = closed_take(body, &d->end.counts);
    if (error) {
        protests_sink(d, KIND_CLOSED, FRAME_HEAD_SIZE, error);
        return;
    }
    d->end.closed = true;
    d->end.leave_by_ns = now_ns + LEAVE_NS;
    say_bye(d);
    dispatcher_moved(d, now_ns);
}

void sink_session_message(struct dispatcher *d, enum wire_kind kind, struct bytes body,
                          uint64_t now_ns)
{
    liveness_sink_heard(d, now_ns);
    d->sink.astray = 0;
    if (kind == KIND_HEARTBEAT)
        sink_session_heartbeat(d, body);
    else if (kind == KIND_STORED)
        stored_note(d, body, now_ns);
    else if (kind == KIND_HASHES)
        audit_hashes(d, body, now_ns);
    else if (kind == KIND_CLOSED && d->end.done_sent)
        closed(d, body, now_ns);
    else if (kind == KIND_HALT)
        halt_order_take(d, body, now_ns);
    else if (kind == KIND_LEAVE)
        dispatcher_stop(d, "the sink was asked to stop", now_ns);
    else if (kind == KIND_PROTEST)
        protests_from_sink(d, body);
    else if (kind == KIND_CLOSED)
        d->protests.dropped++; /* its answer to a DONE of before */
    else
        protests_sink(d, kind, 0, ERR_KIND);
}

void sink_session_say_ended(struct dispatcher *d, uint64_t session)
{
    if (!d->sink.connection)
        return;
    struct buf m = {0};
    wire_begin(&m, KIND_ENDED, dispatcher_head(d, KIND_ENDED, d->sink.session));
    number_put(&m, session);
    dispatcher_send(d, d->sink.connection, &m);
}

/* ---- the end ---- */

static bool anything_out(const struct dispatcher *d)
{
    for (size_t i = 0; i < d->sessions.count; i++)
        if (!seqset_empty(&d->sessions.items[i]->out))
            return true;
    return !seqset_empty(&d->pending.loss_reported);
}

static bool sink_session_is_complete(const struct dispatcher *d)
{
    if (audit_reads(d) && !d->end.stopping)
        return false;
    if (d->end.stopping) /* who was cut off a moment ago may come back with what it runs */
        return !anything_out(d) && d->charges.record_count == 0;
    return d->reading.ended && d->ledger.stored.members == d->ledger.read;
}

static void send_done(struct dispatcher *d)
{
    /* Stopped while it read again: what is stored behind that is there all the same. */
    uint64_t highest = seqset_max(&d->audit.stored);
    struct done m = {.total = highest > d->ledger.read ? highest : d->ledger.read,
                     .flags = d->reading.ended ? 0 : DONE_INPUT_CUT,
                     .workers = d->sessions.workers_seen};
    struct range gap;
    for (uint64_t at = 1; at <= m.total && seqset_next_gap(&d->ledger.stored, at, m.total, &gap);
         at = gap.last + 1)
        seqset_add(&m.not_run, gap.first, gap.last);
    seqset_remove_all(&m.not_run, &d->audit.stored);
    struct buf to = {0};
    wire_begin(&to, KIND_DONE, dispatcher_head(d, KIND_DONE, d->sink.session));
    done_put(&to, &m);
    dispatcher_send(d, d->sink.connection, &to);
    done_free(&m);
}

/* Not so when it was halted: that is an end as it was wished for. */
static bool was_interrupted(const struct dispatcher *d)
{
    return d->end.failed || (d->end.stopping && d->end.halt.when == HALT_NEVER);
}

static void stop_workers(struct dispatcher *d)
{
    for (size_t i = 0; i < d->sessions.count; i++) {
        struct session *s = d->sessions.items[i];
        if (!s->connection)
            continue;
        struct stop m = {was_interrupted(d) ? STOP_INTERRUPTED : STOP_JOB_OVER, s->batch};
        struct buf to = {0};
        wire_begin(&to, KIND_STOP, dispatcher_head(d, KIND_STOP, s->id));
        stop_put(&to, &m);
        dispatcher_send(d, s->connection, &to);
    }
}

/* A worker that STOP does not reach would look for this ventilator for --give-up, and end with 255: so whoever is
 * still heard is waited for. */
static bool anybody_is_there(const struct dispatcher *d, uint64_t now_ns)
{
    for (size_t i = 0; i < d->sessions.count; i++) {
        const struct session *s = d->sessions.items[i];
        if (s->connection && now_ns <= s->heard.at_ns + liveness_limit(d, s))
            return true;
    }
    return false;
}

static uint64_t leave_after_ns(const struct dispatcher *d)
{
    return d->options.supervised ? LEAVE_NS : PATIENCE_MOST * d->options.limit_ns;
}

/* The sink has gone: workers are told, and waited for, so that the word surely reaches them. */
static void leave(struct dispatcher *d, uint64_t now_ns)
{
    if (!d->end.stops_sent) {
        stop_workers(d);
        d->end.stops_sent = true;
        d->end.leave_by_ns = now_ns + leave_after_ns(d);
    }
    if (anybody_is_there(d, now_ns) && now_ns < d->end.leave_by_ns)
        return;
    if (was_interrupted(d))
        dispatcher_exit(d, 255, "%s", d->options.supervised ? "" : d->end.stop_why.text);
    else
        dispatcher_exit(d, d->end.counts.status < 255 ? (int)d->end.counts.status : 255, "%s", "");
}

static void sink_session_give_up(struct dispatcher *d, uint64_t now_ns)
{
    if (d->held_ns || d->sink.connection ||
        now_ns < d->sink.absent_since_ns + d->options.give_up_ns)
        return;
    if (d->sink.instance)
        dispatcher_exit(d, 255,
                        "the sink is gone and did not come back within %llu s; %llu results "
                        "were stored, %llu tasks were read",
                        (unsigned long long)(d->options.give_up_ns / NS_PER_S),
                        (unsigned long long)d->ledger.stored.members,
                        (unsigned long long)d->ledger.read);
    else
        dispatcher_exit(d, 255, "no sink has joined within %llu s%s%s",
                        (unsigned long long)(d->options.give_up_ns / NS_PER_S),
                        d->endpoint ? "; start one with: zfarm-sink --connect " : "",
                        d->endpoint ? d->endpoint : "");
}

/* An interrupt is not held up by a sink that can write nothing. */
static void give_up_writing(struct dispatcher *d, uint64_t now_ns)
{
    uint64_t due_ns = d->end.no_room_ns + d->options.kill_after_ns;
    if (d->end.stopping && d->options.kill_after_ns && d->sink.connection &&
        d->sink.says.has_no_room && now_ns >= due_ns)
        dispatcher_exit(d, 255,
                        "interrupted, and the sink could not write for %.0f s: results are not "
                        "waited for any longer",
                        (double)d->options.kill_after_ns / (double)NS_PER_S);
}

void sink_session_turn(struct dispatcher *d, uint64_t now_ns)
{
    if (d->end.closed) {
        if (d->end.stops_sent || !d->sink.connection || now_ns >= d->end.leave_by_ns)
            leave(d, now_ns);
        return;
    }
    sink_session_give_up(d, now_ns);
    give_up_writing(d, now_ns);
    verdicts_send(d);
    if (d->sink.ready && !d->end.done_sent && sink_session_is_complete(d)) {
        sink_session_tell_status(d);
        send_done(d);
        d->end.done_sent = true;
        d->end.settled = d->end.stopping;
    }
}
