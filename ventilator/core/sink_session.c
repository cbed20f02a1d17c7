/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/sink_session.h"

#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/endpoint.h"
#include "ventilator/core/admission.h"
#include "ventilator/core/audit.h"
#include "ventilator/core/dispatcher_actions.h"
#include "ventilator/core/dispatcher_state.h"
#include "ventilator/core/halt_order.h"
#include "ventilator/core/handed.h"
#include "ventilator/core/job_end.h"
#include "ventilator/core/joins.h"
#include "ventilator/core/liveness.h"
#include "ventilator/core/promises.h"
#include "ventilator/core/protests.h"
#include "ventilator/core/session_end.h"
#include "ventilator/core/sessions.h"
#include "ventilator/core/status.h"
#include "ventilator/core/stored.h"

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
        session_end_all(d, now_ns); /* their sessions are of a job that never was */
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
            sessions_want_flush(d, s);
        }
    }
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
            stored_take(d, &m.tasks, now_ns);
        note_gaps(d, &m);
        if (first) {
            seqset_copy(&d->pending.unsaid, &d->pending.loss_reported);
            d->end.done_sent = false;
            status_tell(d);
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
        status_tell(d);
    }
    heartbeat_free(&m);
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
        job_end_closed(d, body, now_ns);
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
