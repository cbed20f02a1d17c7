/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/joins.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/xalloc.h"
#include "ventilator/core/admission.h"
#include "ventilator/core/audit.h"
#include "ventilator/core/charges.h"
#include "ventilator/core/dispatcher_actions.h"
#include "ventilator/core/dispatcher_state.h"
#include "ventilator/core/handed.h"
#include "ventilator/core/liveness.h"
#include "ventilator/core/pending.h"
#include "ventilator/core/protests.h"
#include "ventilator/core/session_end.h"
#include "ventilator/core/sessions.h"
#include "ventilator/core/standing.h"

enum { WAITING_BYTES_MAX = 16 << 20 }; /* of JOINs that wait for a sink */

struct truth {
    struct session *session;
    struct session *before; /* the session it continues, if that is still known */
    bool is_of_earlier_life;
    struct seqset kill;
    struct seqset have;
};

/* One task that the worker says it has. */
static bool joins_adopt(struct dispatcher *d, struct truth *t, uint64_t seq, struct attempt attempt,
                        bool finished)
{
    struct entry *entry = ledger_find(&d->ledger, seq);
    bool unwanted = seqset_has(&d->pending.loss_reported, seq) || d->end.halt.when == HALT_NOW;
    if (!entry || d->end.settled || (unwanted && !finished))
        return false;
    struct story *story = ledger_make_story(&d->ledger, entry, seq, d->options.incarnation);
    if (attempt.incarnation == d->options.incarnation && attempt.number > story->attempts)
        return false; /* nobody was given that */
    if (t->before) {
        story_remove_holder(story, t->before);
        session_forget(t->before, seq, seq);
    }
    if (!story_add_holder(story, (struct holder){t->session, attempt, 0}))
        return false;
    if (t->is_of_earlier_life)
        audit_doubt(d, seq);
    if (story->attempts == 0)
        story->attempts = 1; /* in an earlier life */
    pending_remove(d, seq, seq);
    session_has(t->session, seq, finished);
    sessions_note_use(d, t->session);
    return true;
}

static void adopt_running(struct dispatcher *d, struct truth *t, const struct attempt_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (!joins_adopt(d, t, list->items[i].seq, list->items[i].attempt, false))
            seqset_add(&t->kill, list->items[i].seq, list->items[i].seq);
}

/* Kept results are the worker's proof, not ours: what was not read (in this life there was no room
 * for it, or it is not true) is let go, and a hostile range costs no more than the ledger is long. */
static void adopt_kept(struct dispatcher *d, struct truth *t, const struct seqset *kept)
{
    for (size_t i = 0; i < kept->count; i++) {
        struct range r = kept->ranges[i];
        if (r.last > d->ledger.read) {
            uint64_t next = d->ledger.read + 1;
            seqset_add(&t->have, r.first > next ? r.first : next, r.last);
            r.last = d->ledger.read;
        }
        seqset_add_part(&t->have, &d->ledger.stored, r.first, r.last);
        struct range open;
        for (uint64_t at = r.first;
             at <= r.last && seqset_next_gap(&d->ledger.stored, at, r.last, &open);
             at = open.last + 1)
            for (uint64_t seq = open.first; seq <= open.last; seq++)
                if (!joins_adopt(d, t, seq, (struct attempt){0}, true))
                    seqset_add(&t->have, seq, seq); /* enough others have it: it is let go */
    }
}

/* A task with a loss is alone where it runs, also after its worker has joined anew. */
static void keep_alone(struct dispatcher *d, struct session *s)
{
    struct range r;
    for (uint64_t at = 1; seqset_next(&s->out, at, UINT64_MAX - 1, &r); at = r.first + 1) {
        struct story *story = entry_story(ledger_find(&d->ledger, r.first), r.first);
        if (story && story_is_suspect(story) && !seqset_has(&s->finished, r.first))
            s->isolation.task = r.first;
    }
    standing_note(d, s);
}

static void welcome(struct dispatcher *d, const struct truth *t)
{
    struct worker_welcome m = {.heartbeat_ms = d->options.heartbeat_ns / NS_PER_MS,
                               .limit_ms = d->options.limit_ns / NS_PER_MS,
                               .lanes = bytes_of(d->lanes),
                               .wants = d->sink.terms.wants,
                               .epoch = d->sink.connection ? d->sink.epoch : 0,
                               .results = bytes_of(d->sink.terms.results),
                               .sink = d->sink.key,
                               .halt = d->sink.terms.halt,
                               .kill = t->kill,
                               .have = t->have};
    struct buf to = {0};
    wire_begin(&to, KIND_WELCOME, dispatcher_head(d, KIND_WELCOME, t->session->id));
    worker_welcome_put(&to, &m);
    dispatcher_send(d, t->session->connection, &to);
}

/* A session that a JOIN replaces: of the same process, whichever it names, or of the same
 * connection. */
static struct session *replaced(struct dispatcher *d, uint64_t instance, uint64_t connection)
{
    struct session *s = instance ? index_get(&d->sessions.by_instance, instance) : NULL;
    return s ? s : index_get(&d->sessions.by_connection, connection);
}

static void take_in(struct dispatcher *d, const struct origin *from, struct frame_head head,
                    const struct worker_join *join, uint64_t now_ns)
{
    uint64_t connection = from->connection;
    bool ours = head.job == d->job && head.incarnation == d->options.incarnation;
    struct truth t = {.before = replaced(d, join->peer.instance, connection),
                      .is_of_earlier_life = !ours && !d->sink.terms.is_volatile};
    t.session = session_new(++d->sessions.last_id, connection, &join->peer, join->slots, now_ns);
    t.session->key = from->key;
    t.session->leaving = join->flags & WORKER_LEAVING;
    t.session->tells_receipts = join->features & FEATURE_RECEIPTS;
    t.session->handed.is_wanted = d->sink.terms.wants_handed;
    d->executor = join->executor;
    if (head.job == d->job) { /* else WELCOME's job says that it may forget all */
        adopt_running(d, &t, &join->running);
        adopt_kept(d, &t, &join->kept);
    }
    if (t.before) {
        session_runs_on(t.session, t.before);
        liveness_go_on(t.session, t.before);
    }
    while (t.before) {
        session_end(d, t.before, false, now_ns);
        t.before = replaced(d, join->peer.instance, connection);
    }
    handed_note_tried(d, t.session);
    sessions_add(d, t.session);
    if (ours)
        charges_refund(d, head.session);
    keep_alone(d, t.session);
    welcome(d, &t);
    seqset_free(&t.kill);
    seqset_free(&t.have);
    dispatcher_moved(d, now_ns);
}

static int compare_running(const void *a, const void *b)
{
    const struct running_attempt *one = a, *other = b;
    if (one->seq != other->seq)
        return one->seq < other->seq ? -1 : 1;
    return (one->attempt.number > other->attempt.number) -
           (one->attempt.number < other->attempt.number);
}

/* In their order it takes no time to make a set of them, however many a stranger makes up. */
static enum error take_join(struct bytes body, struct worker_join *join)
{
    enum error error = worker_join_take(body, join);
    if (!error && join->running.count)
        qsort(join->running.items, join->running.count, sizeof *join->running.items,
              compare_running);
    return error;
}

/* Returns false when those that wait have said more than may be kept. */
static bool let_wait(struct dispatcher *d, const struct origin *from, struct bytes message)
{
    joins_forget(d, from->connection);
    if (d->waiting.size_bytes + message.size > WAITING_BYTES_MAX)
        return false;
    d->waiting.size_bytes += message.size;
    d->waiting.items =
        xrealloc(d->waiting.items, (d->waiting.count + 1) * sizeof *d->waiting.items);
    d->waiting.items[d->waiting.count++] =
        (struct waiting_join){from->connection, from->key, block_copy(message)};
    return true;
}

/* What a worker has from an earlier life must have been read to be known. */
static void want_what_it_has(struct dispatcher *d, struct frame_head head,
                             const struct worker_join *join)
{
    if (head.job != d->job || head.incarnation == d->options.incarnation ||
        d->sink.terms.is_volatile)
        return;
    audit_want(d, seqset_max(&join->kept));
    for (size_t i = 0; i < join->running.count; i++)
        audit_want(d, join->running.items[i].seq);
}

/* Before there is a job, and while its input is read again. */
static bool must_wait(struct dispatcher *d, struct frame_head head, const struct worker_join *join)
{
    if (d->job)
        want_what_it_has(d, head, join);
    return !d->job || audit_reads(d);
}

void joins_take(struct dispatcher *d, const struct origin *from, struct frame_head head,
                struct bytes message, struct bytes body, uint64_t now_ns)
{
    uint64_t connection = from->connection;
    struct worker_join join = {0};
    enum error error = take_join(body, &join);
    if (error) {
        protests_join(d, from, error);
    } else if (d->end.closed ||
               (d->end.stopping && !join.running.count && seqset_empty(&join.kept))) {
        dispatcher_refuse(d, connection, REFUSE_OVER, "the job is over");
    } else if (d->sessions.count + d->waiting.count >= d->options.workers_max &&
               !replaced(d, join.peer.instance, connection)) {
        dispatcher_refuse(d, connection, REFUSE_FULL,
                          "the ventilator has as many workers as --workers-max allows");
    } else if (must_wait(d, head, &join)) {
        if (!let_wait(d, from, message))
            dispatcher_refuse(d, connection, REFUSE_FULL, "too many workers wait for a sink");
    } else {
        take_in(d, from, head, &join, now_ns);
    }
    worker_join_free(&join);
}

typedef void joined_fn(struct dispatcher *d, const struct origin *from, struct frame_head head,
                       const struct worker_join *join, uint64_t now_ns);

static void with_join(struct dispatcher *d, const struct waiting_join *w, joined_fn *call,
                      uint64_t now_ns)
{
    struct frame_head head;
    struct bytes body;
    struct worker_join join = {0};
    struct origin from = {w->connection, "", w->key};
    if (!frame_take(block_bytes(w->message), &head, &body) && !take_join(body, &join))
        call(d, &from, head, &join, now_ns);
    worker_join_free(&join);
}

static void want(struct dispatcher *d, const struct origin *from, struct frame_head head,
                 const struct worker_join *join, uint64_t now_ns)
{
    (void)from, (void)now_ns;
    want_what_it_has(d, head, join);
}

void joins_welcome_waiting(struct dispatcher *d, uint64_t now_ns)
{
    for (size_t i = 0; i < d->waiting.count; i++)
        with_join(d, &d->waiting.items[i], want, now_ns);
    if (audit_reads(d))
        return;
    size_t count = d->waiting.count;
    d->waiting.count = 0;
    d->waiting.size_bytes = 0;
    for (size_t i = 0; i < count; i++) { /* of two of one process, the later one stays */
        struct waiting_join w = d->waiting.items[i];
        with_join(d, &w, take_in, now_ns);
        block_release(&w.message);
    }
}

/* ---- those that wait ---- */

void joins_forget(struct dispatcher *d, uint64_t connection)
{
    for (size_t i = 0; i < d->waiting.count; i++)
        if (d->waiting.items[i].connection == connection) {
            d->waiting.size_bytes -= block_bytes(d->waiting.items[i].message).size;
            block_release(&d->waiting.items[i].message);
            d->waiting.items[i] = d->waiting.items[--d->waiting.count];
            return;
        }
}

void joins_admitted_changed(struct dispatcher *d)
{
    for (size_t i = d->waiting.count; i-- > 0;)
        if (!admission_has(d, &d->waiting.items[i].key, KEY_WORKER)) {
            dispatcher_cut(d, d->waiting.items[i].connection);
            joins_forget(d, d->waiting.items[i].connection);
        }
}

void joins_free(struct dispatcher *d)
{
    while (d->waiting.count)
        joins_forget(d, d->waiting.items[0].connection);
    free(d->waiting.items);
}
