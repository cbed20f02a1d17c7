/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/stored.h"

#include "ventilator/core/charges.h"
#include "ventilator/core/dispatcher_state.h"
#include "ventilator/core/pending.h"
#include "ventilator/core/sessions.h"
#include "ventilator/core/standing.h"

static void release_at(struct dispatcher *d, struct session *s, uint64_t first, uint64_t last)
{
    session_forget(s, first, last);
    seqset_add(&s->notices.release, first, last);
    standing_note(d, s);
    sessions_want_flush(d, s);
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
    pending_remove(d, first, last);
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

void stored_take(struct dispatcher *d, const struct seqset *tasks, uint64_t now_ns)
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
