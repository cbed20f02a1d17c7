/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/dispatcher.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/xalloc.h"
#include "ventilator/core/admission.h"
#include "ventilator/core/audit.h"
#include "ventilator/core/charges.h"
#include "ventilator/core/dispatcher_actions.h"
#include "ventilator/core/dispatcher_state.h"
#include "ventilator/core/explain.h"
#include "ventilator/core/handed.h"
#include "ventilator/core/hedge.h"
#include "ventilator/core/isolate.h"
#include "ventilator/core/job_end.h"
#include "ventilator/core/joins.h"
#include "ventilator/core/liveness.h"
#include "ventilator/core/pending.h"
#include "ventilator/core/protests.h"
#include "ventilator/core/reading.h"
#include "ventilator/core/recall.h"
#include "ventilator/core/schedule.h"
#include "ventilator/core/sessions.h"
#include "ventilator/core/sink_session.h"
#include "ventilator/core/status.h"
#include "ventilator/core/transfer.h"
#include "ventilator/core/workers.h"

/* RELEASED and CANCEL are passed on at most this often, all of them at once. */
#define FLUSH_NS (20 * NS_PER_MS)
/* No event tells that a lane has taken a piece. */
#define TRANSFER_LOOK_NS (10 * NS_PER_MS)

enum { JOINS_A_SECOND = 200, JOIN_USUAL = 64 << 10, STRANGE_LINES_A_MINUTE = 10 };

struct dispatcher *dispatcher_new(const struct dispatcher_options *options, uint64_t now_ns)
{
    struct dispatcher *d = xcalloc(1, sizeof *d);
    d->options = *options;
    d->lanes = xstrdup(options->lanes);
    d->endpoint = options->endpoint ? xstrdup(options->endpoint) : NULL;
    if (!d->options.task_inline_max)
        d->options.task_inline_max = TASK_INLINE_MAX;
    if (!d->options.task_piece_max)
        d->options.task_piece_max = TASK_PIECE_MAX;
    d->random = options->random_seed;
    d->reading.name = xstrdup(options->input);
    d->turned_at_ns = d->moved_at_ns = d->sink.absent_since_ns = now_ns;
    d->recall.due_ns = NEVER;
    for (enum ranking_kind kind = TAKES_NEW; kind < RANKINGS; kind++)
        d->standings.takers[kind].which = kind;
    TAILQ_INIT(&d->sessions.to_flush);
    return d;
}

void dispatcher_destroy(struct dispatcher **dispatcher)
{
    struct dispatcher *d = *dispatcher;
    if (!d)
        return;
    *dispatcher = NULL;
    struct dispatcher_action action;
    while (dispatcher_next_action(d, &action))
        block_release(&action.block);
    joins_free(d);
    charges_free(d);
    sessions_free(d);
    for (enum ranking_kind kind = TAKES_NEW; kind < RANKINGS; kind++)
        ranking_free(&d->standings.takers[kind]);
    ledger_free(&d->ledger);
    audit_free(&d->audit);
    seqset_free(&d->transfers);
    seqset_free(&d->handed);
    seqset_free(&d->pending.queue);
    seqset_free(&d->pending.isolated);
    delays_free(&d->pending.delayed);
    seqset_free(&d->pending.loss_pending);
    seqset_free(&d->pending.loss_reported);
    seqset_free(&d->pending.unsaid);
    seqset_free(&d->sink.taken);
    buf_free(&d->reading.batch);
    free(d->actions.items);
    free(d->lanes);
    free(d->endpoint);
    free(d->reading.name);
    block_release(&d->answer.block);
    free(d);
}

/* ---- messages ---- */

static void refuse_version(struct dispatcher *d, uint64_t connection, struct bytes message,
                           uint64_t now_ns)
{
    char sentence[160], more[THROTTLE_WORDS_SIZE];
    snprintf(sentence, sizeof sentence,
             "the ventilator (%s) speaks version %d of the protocol and this program version %d; "
             "use the same release of zfarm on all machines",
             ZFARM_VERSION, WIRE_VERSION, message.data[1]);
    dispatcher_refuse(d, connection, REFUSE_VERSION, sentence);
    if (throttle_line(&d->admission.version_lines, STRANGE_LINES_A_MINUTE, now_ns))
        dispatcher_say(d, "refused a peer of another protocol version=%d%s", message.data[1],
                       throttle_words(&d->admission.version_lines, more));
}

/* Each costs a look at all that its sender says it has: a large one counts for several. Whose
 * JOIN comes too soon is cut off, and comes back after its back-off. */
static bool may_join(struct dispatcher *d, uint64_t connection, size_t size, uint64_t now_ns)
{
    uint64_t burst = d->options.workers_max + JOINS_A_SECOND;
    if (throttle_take_many(&d->admission.joins, 1 + size / JOIN_USUAL, burst,
                           NS_PER_S / JOINS_A_SECOND, now_ns))
        return true;
    d->protests.dropped++;
    dispatcher_cut(d, connection);
    return false;
}

static void dispatcher_join(struct dispatcher *d, const struct origin *from, struct frame_head head,
                            struct bytes message, struct bytes body, uint64_t now_ns)
{
    enum wire_role role;
    enum error error = join_role(body, &role);
    if (error)
        protests_join(d, from, error);
    else if (!admission_allows(d, from, role, now_ns) ||
             !may_join(d, from->connection, body.size, now_ns))
        return;
    else if (role == ROLE_WORKER)
        joins_take(d, from, head, message, body, now_ns);
    else
        sink_session_join(d, from, head, body, now_ns);
}

static void no_frame(struct dispatcher *d, const struct origin *from, struct bytes message,
                     enum error error, uint64_t now_ns)
{
    unsigned kind = message.size ? message.data[0] : 0;
    bool asks = kind == KIND_JOIN || kind == KIND_WHY;
    if (error == ERR_VERSION && asks) {
        refuse_version(d, from->connection, message, now_ns);
        d->protests.dropped++;
    } else if (kind == KIND_JOIN)
        protests_join(d, from, error);
    else
        protests_frame(d, from->connection, message, error);
}

void dispatcher_control_message(struct dispatcher *d, const struct origin *from,
                                struct bytes message, uint64_t now_ns)
{
    uint64_t connection = from->connection;
    struct frame_head head;
    struct bytes body;
    enum error error = frame_take(message, &head, &body);
    if (error) {
        no_frame(d, from, message, error, now_ns);
        return;
    }
    if (head.kind == KIND_JOIN) {
        dispatcher_join(d, from, head, message, body, now_ns);
        return;
    }
    if (head.kind == KIND_WHY) {
        if (body.size)
            d->protests.dropped++;
        else
            explain_answer(d, connection, now_ns);
        return;
    }
    bool ours = head.job == d->job && head.incarnation == d->options.incarnation;
    struct session *s = index_get(&d->sessions.by_id, head.session);
    if (ours && connection == d->sink.connection && head.session == d->sink.session)
        sink_session_message(d, head.kind, body, now_ns);
    else if (ours && s && s->connection == connection)
        workers_message(d, s, head.kind, body, now_ns);
    else
        protests_astray(d, connection, head);
}

/* ---- keys ---- */

void dispatcher_admitted_changed(struct dispatcher *d, uint64_t now_ns)
{
    workers_admitted_changed(d, now_ns);
    if (d->sink.connection && !admission_has(d, &d->sink.key, KEY_SINK)) {
        dispatcher_say(d, "the key of the sink is revoked");
        dispatcher_cut(d, d->sink.connection);
        sink_session_closed(d, now_ns);
    }
    admission_tell_sink(d);
}

/* ---- input ---- */

static void dispatcher_make_room(struct dispatcher *d)
{
    buf_clear(&d->reading.batch);
    buf_reserve(&d->reading.batch, TASKS_HEAD_SIZE);
    memset(d->reading.batch.data, 0, TASKS_HEAD_SIZE);
    d->reading.batch.size = TASKS_HEAD_SIZE;
}

/* When everybody is gone and everything that was read is stored, one task is read all the same:
 * perhaps there is none, and the job is done. What is read for a sink that wants to know how many
 * there are waits in the queue. */
static bool may_look_ahead(const struct dispatcher *d)
{
    return d->sink.terms.wants_total || d->ledger.read == d->ledger.stored.members;
}

bool dispatcher_wants_tasks(struct dispatcher *d, size_t *tasks_max, size_t *bytes_max)
{
    d->reading.target = NULL;
    *tasks_max = *bytes_max = 1;
    if (audit_reads(d)) {
        *tasks_max = reading_may(d) ? audit_room(d) : 0;
        *bytes_max = BATCH_BYTES_MAX;
        if (*tasks_max == 0)
            return false;
        dispatcher_make_room(d);
        d->reading.asked = true;
        return true;
    }
    if (reading_may(d) && seqset_empty(&d->pending.queue))
        d->reading.target = schedule_pick_for_input(d);
    if (!reading_may(d) || (!d->reading.target && !may_look_ahead(d)))
        return false;
    if (d->sink.terms.wants_total && !d->reading.target) {
        *tasks_max = BATCH_TASKS_MAX;
        *bytes_max = BATCH_BYTES_MAX;
    }
    if (d->reading.target) {
        uint64_t tasks = session_ordinary_room(d->reading.target);
        uint64_t granted = d->reading.target->credit.granted.size_bytes,
                 sent = d->reading.target->credit.sent_bytes;
        uint64_t bytes = granted > sent ? granted - sent : 0;
        *tasks_max = tasks < BATCH_TASKS_MAX ? tasks : BATCH_TASKS_MAX;
        size_t most = liveness_frame_max(d->reading.target, BATCH_BYTES_MAX);
        *bytes_max = bytes < most ? bytes : most;
    }
    dispatcher_make_room(d);
    d->reading.asked = true;
    return true;
}

struct buf *dispatcher_room(struct dispatcher *d)
{
    return &d->reading.batch;
}

void dispatcher_add_tasks(struct dispatcher *d, size_t tasks, uint64_t now_ns)
{
    assert(tasks > 0);
    d->reading.asked = false;
    if (audit_reads(d))
        audit_take(d, tasks, now_ns);
    else
        schedule_new_tasks(d, d->reading.target, tasks, now_ns);
}

void dispatcher_add_too_large(struct dispatcher *d, uint64_t now_ns)
{
    d->reading.asked = false;
    if (audit_reads(d)) {
        audit_take_too_large(d, now_ns);
        return;
    }
    struct block *none = NULL;
    pending_report_loss(d, ledger_append(&d->ledger, 1, &none, 0)->first);
    d->turn_wanted = true;
    dispatcher_moved(d, now_ns);
}

void dispatcher_input_looks(struct dispatcher *d, uint64_t looks)
{
    d->reading.looks = looks;
}

void dispatcher_input_ended(struct dispatcher *d, uint64_t now_ns)
{
    d->reading.asked = false;
    d->reading.ended = true;
    audit_input_ended(d);
    status_tell(d); /* now it is known how many tasks there are */
    d->turn_wanted = true;
    dispatcher_moved(d, now_ns);
}

void dispatcher_input_failed(struct dispatcher *d, const char *why, uint64_t now_ns)
{
    d->reading.asked = false;
    d->end.failed = true;
    dispatcher_stop(d, why, now_ns);
}

/* ---- a turn ---- */

static void postpone(uint64_t *time_ns, uint64_t late_ns, uint64_t latest_ns)
{
    *time_ns = *time_ns + late_ns < latest_ns ? *time_ns + late_ns : latest_ns;
}

/* Every time since a peer was last heard moves by as much. */
static void compensate_stall(struct dispatcher *d, uint64_t late_ns, uint64_t now_ns)
{
    uint64_t latest_ns = now_ns + d->options.limit_ns;
    for (size_t i = 0; i < d->sessions.count; i++) {
        struct session *s = d->sessions.items[i];
        postpone(&s->heard.at_ns, late_ns, now_ns);
        postpone(&s->lane_state.moved_at_ns, late_ns, now_ns);
        postpone(&s->ended_at_ns, late_ns, now_ns);
        if (s->half_closed_at_ns != NEVER)
            postpone(&s->half_closed_at_ns, late_ns, now_ns);
    }
    for (size_t i = 0; i < d->charges.record_count; i++)
        postpone(&d->charges.records[i].expires_ns, late_ns, latest_ns);
    struct range r;
    for (uint64_t at = 1; seqset_next(&d->pending.loss_pending, at, UINT64_MAX - 1, &r);
         at = r.first + 1)
        postpone(&entry_story(ledger_find(&d->ledger, r.first), r.first)->lost_at_ns, late_ns,
                 latest_ns);
    postpone(&d->sink.heard.at_ns, late_ns, now_ns);
    postpone(&d->sink.absent_since_ns, late_ns, now_ns);
}

/* A turn that comes much later than it was due means that this process stood still, not that
 * everybody else was silent: all that is measured since the last turn starts from now. */
static void compensate_own_stall(struct dispatcher *d, uint64_t now_ns)
{
    uint64_t late_ns = liveness_late_ns(d, now_ns);
    d->turned_at_ns = now_ns;
    if (late_ns > d->options.heartbeat_ns)
        compensate_stall(d, late_ns, now_ns);
}

void dispatcher_hold(struct dispatcher *d, uint64_t now_ns)
{
    if (!d->held_ns)
        d->held_ns = now_ns;
}

void dispatcher_go(struct dispatcher *d, uint64_t now_ns)
{
    if (!d->held_ns)
        return;
    compensate_stall(d, now_ns - d->held_ns, now_ns);
    d->held_ns = 0;
    d->turn_wanted = true;
    dispatcher_moved(d, now_ns);
}

static void flush_session(struct dispatcher *d, struct session *s)
{
    if (!s->connection)
        return;
    struct buf to = {0};
    if (s->notices.cancel.size) {
        struct cancel m = {(struct cancel_item *)(void *)s->notices.cancel.data,
                           s->notices.cancel.size / sizeof(struct cancel_item)};
        wire_begin(&to, KIND_CANCEL, dispatcher_head(d, KIND_CANCEL, s->id));
        cancel_put(&to, &m);
        dispatcher_send(d, s->connection, &to);
        buf_clear(&s->notices.cancel);
    }
    if (!seqset_empty(&s->notices.release)) {
        struct released m = {s->notices.release};
        wire_begin(&to, KIND_RELEASED, dispatcher_head(d, KIND_RELEASED, s->id));
        released_put(&to, &m);
        dispatcher_send(d, s->connection, &to);
        seqset_clear(&s->notices.release);
    }
    if (s->notices.resend_from) {
        wire_begin(&to, KIND_RESEND, dispatcher_head(d, KIND_RESEND, s->id));
        number_put(&to, s->notices.resend_from);
        dispatcher_send(d, s->connection, &to);
        s->notices.resend_from = 0;
    }
}

static void dispatcher_flush(struct dispatcher *d, uint64_t now_ns)
{
    struct session *s;
    if (TAILQ_EMPTY(&d->sessions.to_flush) || now_ns < d->sessions.flushed_at_ns + FLUSH_NS)
        return;
    while ((s = TAILQ_FIRST(&d->sessions.to_flush)) != NULL) {
        TAILQ_REMOVE(&d->sessions.to_flush, s, notices.next);
        s->notices.is_queued = false;
        flush_session(d, s);
    }
    d->sessions.flushed_at_ns = now_ns;
}

/* Workers that wait for a sink get a HEARTBEAT: the ventilator is here. */
static void send_waiting_heartbeats(struct dispatcher *d, uint64_t now_ns)
{
    if (d->waiting.count == 0 || now_ns < d->waiting.told_at_ns + d->options.heartbeat_ns)
        return;
    d->waiting.told_at_ns = now_ns;
    for (size_t i = 0; i < d->waiting.count; i++) {
        struct heartbeat m = {0};
        struct buf to = {0};
        wire_begin(&to, KIND_HEARTBEAT, dispatcher_head(d, KIND_HEARTBEAT, 0));
        heartbeat_put(&to, &m);
        dispatcher_send(d, d->waiting.items[i].connection, &to);
    }
}

static void dispatcher_hand_out(struct dispatcher *d, uint64_t now_ns)
{
    pending_end_delays(d, now_ns);
    d->recall.due_ns = NEVER;
    if (d->held_ns || job_end_is_over(d) || !d->sink.ready || audit_holds(d, now_ns))
        return;
    isolate_turn(d, now_ns);
    schedule_turn(d, now_ns);
    recall_turn(d, now_ns);
    hedge_turn(d, now_ns);
}

void dispatcher_turn(struct dispatcher *d, uint64_t now_ns)
{
    if (d->reading.asked && !d->reading.dry)
        d->reading.dry_from_ns = d->turned_at_ns;
    d->reading.dry = d->reading.asked;
    d->reading.asked = d->turn_wanted = false;
    compensate_own_stall(d, now_ns);
    workers_turn(d, now_ns);
    dispatcher_hand_out(d, now_ns);
    transfer_turn(d, now_ns);
    dispatcher_flush(d, now_ns);
    handed_tell(d);
    send_waiting_heartbeats(d, now_ns);
    job_end_turn(d, now_ns);
}

uint64_t dispatcher_deadline(const struct dispatcher *d)
{
    uint64_t due_ns = d->turned_at_ns + d->options.heartbeat_ns;
    if (d->turn_wanted)
        return 0;
    if (!TAILQ_EMPTY(&d->sessions.to_flush) && d->sessions.flushed_at_ns + FLUSH_NS < due_ns)
        due_ns = d->sessions.flushed_at_ns + FLUSH_NS;
    if (!seqset_empty(&d->transfers) && d->turned_at_ns + TRANSFER_LOOK_NS < due_ns)
        due_ns = d->turned_at_ns + TRANSFER_LOOK_NS;
    if (d->recall.due_ns < due_ns)
        due_ns = d->recall.due_ns;
    uint64_t retry_ns = delays_next_ns(&d->pending.delayed);
    return retry_ns < due_ns ? retry_ns : due_ns;
}

/* ---- what it knows ---- */

uint64_t dispatcher_moved_at(const struct dispatcher *d)
{
    return d->moved_at_ns;
}

struct dispatcher_counts dispatcher_counts(const struct dispatcher *d)
{
    return (struct dispatcher_counts){.read = d->ledger.read,
                                      .stored = d->ledger.stored.members,
                                      .ledger_bytes = d->ledger.bytes,
                                      .workers = d->sessions.count,
                                      .workers_seen = d->sessions.workers_seen,
                                      .dropped = d->protests.dropped};
}
