/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/job_end.h"

#include <stdio.h>

#include "common/base/clock.h"
#include "ventilator/core/audit.h"
#include "ventilator/core/dispatcher_actions.h"
#include "ventilator/core/dispatcher_state.h"
#include "ventilator/core/liveness.h"
#include "ventilator/core/protests.h"
#include "ventilator/core/session_end.h"
#include "ventilator/core/status.h"
#include "ventilator/core/verdicts.h"

/* How long the sink is waited for at the end, and then workers whose parent ends them otherwise. */
#define LEAVE_NS (1 * NS_PER_S)

bool job_end_is_over(const struct dispatcher *d)
{
    return d->end.stopping || d->end.closed || d->end.exited;
}

void job_end_begin(struct dispatcher *d, uint64_t now_ns)
{
    d->end.stopping = true;
    d->end.no_room_ns = now_ns;
    for (size_t i = 0; i < d->sessions.count; i++)
        session_end_lane(d, d->sessions.items[i]);
    dispatcher_moved(d, now_ns);
}

void dispatcher_stop(struct dispatcher *d, const char *why, uint64_t now_ns)
{
    if (d->end.stopping)
        return;
    snprintf(d->end.stop_why.text, sizeof d->end.stop_why.text, "%s", why);
    job_end_begin(d, now_ns);
    if (d->sink.instance == 0 && d->options.supervised)
        dispatcher_exit(d, 255, "%s", "");
    else if (d->sink.instance == 0)
        dispatcher_exit(d, 255, "%s; no sink had joined, nothing was run", why);
}

static void say_bye(struct dispatcher *d)
{
    struct buf m = {0};
    wire_begin(&m, KIND_BYE, dispatcher_head(d, KIND_BYE, d->sink.session));
    dispatcher_send(d, d->sink.connection, &m);
}

void job_end_closed(struct dispatcher *d, struct bytes body, uint64_t now_ns)
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

static bool anything_out(const struct dispatcher *d)
{
    for (size_t i = 0; i < d->sessions.count; i++)
        if (!seqset_empty(&d->sessions.items[i]->out))
            return true;
    return !seqset_empty(&d->pending.loss_reported);
}

static bool job_is_complete(const struct dispatcher *d)
{
    if (audit_reads(d) && !d->end.stopping)
        return false;
    if (d->end
            .stopping) /* a worker that was cut off a moment ago may come back with what it runs */
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

/* A worker that STOP does not reach would look for this ventilator for --give-up, and end with 255: so each that is
 * still heard is waited for. */
static bool a_worker_is_there(const struct dispatcher *d, uint64_t now_ns)
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
    if (a_worker_is_there(d, now_ns) && now_ns < d->end.leave_by_ns)
        return;
    if (was_interrupted(d))
        dispatcher_exit(d, 255, "%s", d->options.supervised ? "" : d->end.stop_why.text);
    else
        dispatcher_exit(d, d->end.counts.status < 255 ? (int)d->end.counts.status : 255, "%s", "");
}

static void give_up_sink(struct dispatcher *d, uint64_t now_ns)
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

void job_end_turn(struct dispatcher *d, uint64_t now_ns)
{
    if (d->end.closed) {
        if (d->end.stops_sent || !d->sink.connection || now_ns >= d->end.leave_by_ns)
            leave(d, now_ns);
        return;
    }
    give_up_sink(d, now_ns);
    give_up_writing(d, now_ns);
    verdicts_send(d);
    if (d->sink.ready && !d->end.done_sent && job_is_complete(d)) {
        status_tell(d);
        send_done(d);
        d->end.done_sent = true;
        d->end.settled = d->end.stopping;
    }
}
