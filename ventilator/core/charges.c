/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/charges.h"

#include <stdlib.h>

#include "common/base/xalloc.h"
#include "ventilator/core/dispatcher_state.h"
#include "ventilator/core/pending.h"
#include "ventilator/core/transfer.h"

/* Whom a task took down: as many as it has losses. */
struct killed_workers {
    struct {
        uint64_t session;
        char *who;
    } items[LOSSES_MAX];
    unsigned count;
    char *left; /* the worker where it was interrupted last; NULL: none */
};

/* ---- charge_records ---- */

static struct charge_record *find_charge_record(struct dispatcher *d, uint64_t session)
{
    for (size_t i = 0; i < d->charges.record_count; i++)
        if (d->charges.records[i].session == session)
            return &d->charges.records[i];
    return NULL;
}

static void remove_charge_record(struct dispatcher *d, struct charge_record *o)
{
    seqset_free(&o->charged);
    *o = d->charges.records[--d->charges.record_count];
}

/* ---- whom it took down ---- */

static struct killed_workers *make_killed_workers(struct dispatcher *d, uint64_t seq)
{
    struct killed_workers *killed = index_get(&d->charges.killed, seq);
    if (!killed)
        index_set(&d->charges.killed, seq, killed = xcalloc(1, sizeof *killed));
    return killed;
}

static void add_killed_worker(struct dispatcher *d, uint64_t seq, const struct session *s)
{
    struct killed_workers *killed = make_killed_workers(d, seq);
    if (killed->count == LOSSES_MAX)
        return;
    killed->items[killed->count].session = s->id;
    killed->items[killed->count++].who = xstrdup(session_whereabouts(s).text);
}

static void remove_killed_worker(struct dispatcher *d, uint64_t seq, uint64_t session)
{
    struct killed_workers *killed = index_get(&d->charges.killed, seq);
    for (unsigned i = 0; killed && i < killed->count; i++)
        if (killed->items[i].session == session) {
            free(killed->items[i].who);
            killed->items[i] = killed->items[--killed->count];
            return;
        }
}

static void killed_workers_free(struct killed_workers *killed)
{
    for (unsigned i = 0; killed && i < killed->count; i++)
        free(killed->items[i].who);
    if (killed)
        free(killed->left);
    free(killed);
}

void charges_forget(struct dispatcher *d, uint64_t seq)
{
    if (d->charges.killed.count == 0)
        return;
    killed_workers_free(index_get(&d->charges.killed, seq));
    index_remove(&d->charges.killed, seq);
}

void charges_put_words(const struct dispatcher *d, uint64_t seq, struct buf *to)
{
    const struct killed_workers *killed = index_get(&d->charges.killed, seq);
    for (unsigned i = 0; killed && i < killed->count; i++)
        buf_printf(to, "%s%s", i ? ", " : "workers that died with it: ", killed->items[i].who);
    if (killed && killed->left)
        buf_printf(
            to,
            "%sit was interrupted each time by a signal that made its worker leave, %d times, "
            "last on %s: it may send them itself",
            killed->count ? "; " : "", INTERRUPTIONS_MAX, killed->left);
}

void charges_interrupted(struct dispatcher *d, struct session *s, uint64_t seq, uint64_t now_ns)
{
    struct entry *entry = ledger_find(&d->ledger, seq);
    struct story *story = ledger_make_story(&d->ledger, entry, seq, d->options.incarnation);
    if (++story->interruptions != INTERRUPTIONS_MAX)
        return;
    struct killed_workers *killed = make_killed_workers(d, seq);
    free(killed->left);
    killed->left = xstrdup(session_whereabouts(s).text);
    if (story->losses < LOSSES_MAX)
        story->lost_at_ns = now_ns;
}

/* ---- charging ---- */

void charges_add(struct dispatcher *d, struct session *s, uint64_t now_ns)
{
    struct seqset started = {0};
    session_presume_started(s, &started);
    if (seqset_empty(&started))
        return;
    d->charges.records =
        xrealloc(d->charges.records, (d->charges.record_count + 1) * sizeof *d->charges.records);
    struct charge_record *o = &d->charges.records[d->charges.record_count++];
    *o = (struct charge_record){s->id, started, now_ns + d->options.limit_ns};
    for (size_t i = 0; i < started.count; i++)
        for (uint64_t seq = started.ranges[i].first; seq <= started.ranges[i].last; seq++) {
            struct entry *entry = ledger_find(&d->ledger, seq);
            struct story *story = ledger_make_story(&d->ledger, entry, seq, d->options.incarnation);
            story->losses++;
            story->lost_at_ns = o->expires_ns;
            add_killed_worker(d, seq, s);
            transfer_cut(d, story);
        }
}

void charges_refund(struct dispatcher *d, uint64_t session)
{
    struct charge_record *o = find_charge_record(d, session);
    if (!o)
        return;
    for (size_t i = 0; i < o->charged.count; i++)
        for (uint64_t seq = o->charged.ranges[i].first; seq <= o->charged.ranges[i].last; seq++) {
            struct entry *entry = ledger_find(&d->ledger, seq);
            struct story *story = entry ? entry_story(entry, seq) : NULL;
            if (!story || seqset_has(&d->pending.loss_reported, seq))
                continue;
            story->losses--;
            remove_killed_worker(d, seq, session);
            if (story->holder_count == 0)
                pending_add(d, story);
        }
    remove_charge_record(d, o);
}

void charges_turn(struct dispatcher *d, uint64_t now_ns)
{
    for (size_t i = d->charges.record_count; i-- > 0;)
        if (now_ns >= d->charges.records[i].expires_ns)
            remove_charge_record(d, &d->charges.records[i]);
    struct range r;
    for (uint64_t at = 1; seqset_next(&d->pending.loss_pending, at, UINT64_MAX - 1, &r);
         at = r.first + 1) {
        struct story *story = entry_story(ledger_find(&d->ledger, r.first), r.first);
        if (now_ns >= story->lost_at_ns)
            pending_report_loss(d, r.first);
    }
}

void charges_free(struct dispatcher *d)
{
    while (d->charges.record_count)
        remove_charge_record(d, &d->charges.records[0]);
    free(d->charges.records);
    for (size_t i = 0; i < d->charges.killed.capacity; i++)
        if (d->charges.killed.slots[i].key)
            killed_workers_free(d->charges.killed.slots[i].value);
    index_free(&d->charges.killed);
}
