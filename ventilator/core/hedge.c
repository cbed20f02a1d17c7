/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/hedge.h"

#include <stdlib.h>

#include "common/base/xalloc.h"
#include "ventilator/core/dispatcher_state.h"
#include "ventilator/core/pending.h"
#include "ventilator/core/schedule.h"

/* --hedge: the tasks that have run longest are run a second time elsewhere; the first final result counts
 * (Dean and Barroso, The Tail at Scale, 2013). What runs is known from heartbeats: no need to look
 * more often. */

/* A task that is known to run, and where. */
struct hedge_runner {
    uint64_t seq;
    uint64_t since_ns;
    const struct session *at;
};

struct runners {
    struct hedge_runner *items;
    size_t count;
    size_t capacity;
};

static struct session *idlest_but(const struct dispatcher *d, const struct session *not_this)
{
    struct session *best = NULL;
    for (size_t i = 0; i < d->sessions.count; i++) {
        struct session *s = d->sessions.items[i];
        if (s != not_this && s->standing.is_idle && session_reserve_room(s) && !s->transfer.block &&
            (!best || s->standing.load < best->standing.load))
            best = s;
    }
    return best;
}

/* True if a worker is idle and there is nothing else to give it: no input, no queued task, no recall. */
static bool may_hedge(const struct dispatcher *d, uint64_t now_ns)
{
    if (!d->options.hedge || now_ns < d->hedge_again_ns || !d->reading.ended ||
        !d->standings.idle || pending_count(d))
        return false;
    for (size_t i = 0; i < d->sessions.count; i++) {
        const struct session *s = d->sessions.items[i];
        if ((s->recall.is_asked || session_unstarted(s)) && !s->recall.holds_fast)
            return false;
    }
    return idlest_but(d, NULL);
}

/* One attempt only, never doubled before, and no suspicion that it kills workers. */
static bool is_hedgeable(const struct dispatcher *d, const struct session *s, uint64_t seq)
{
    if (seqset_has(&s->finished, seq))
        return false;
    const struct story *story = entry_story(ledger_find(&d->ledger, seq), seq);
    return !story || (story->holder_count == 1 && !story->hedge && !story_is_suspect(story));
}

static void add_runners(const struct dispatcher *d, const struct session *s, struct runners *to)
{
    for (size_t i = 0; i < s->running.stint_count; i++) {
        struct range r, stint = s->running.stints[i].tasks;
        for (uint64_t at = stint.first; seqset_next(&s->out, at, stint.last, &r);
             at = r.first + 1) {
            if (!is_hedgeable(d, s, r.first))
                continue;
            if (to->count == to->capacity) {
                to->capacity = to->capacity ? to->capacity * 2 : 16;
                to->items = xrealloc(to->items, to->capacity * sizeof *to->items);
            }
            to->items[to->count++] =
                (struct hedge_runner){r.first, s->running.stints[i].since_ns, s};
        }
    }
}

static int by_start(const void *a, const void *b)
{
    const struct hedge_runner *x = a, *y = b;
    if (x->since_ns != y->since_ns)
        return x->since_ns < y->since_ns ? -1 : 1;
    return (x->seq > y->seq) - (x->seq < y->seq);
}

void hedge_turn(struct dispatcher *d, uint64_t now_ns)
{
    struct runners all = {0};
    if (!may_hedge(d, now_ns))
        return;
    d->hedge_again_ns = now_ns + d->options.heartbeat_ns;
    for (size_t i = 0; i < d->sessions.count; i++)
        add_runners(d, d->sessions.items[i], &all);
    if (all.count)
        qsort(all.items, all.count, sizeof *all.items, by_start);
    for (size_t i = 0; i < all.count; i++) {
        struct session *s = d->standings.idle ? idlest_but(d, all.items[i].at) : NULL;
        if (!s)
            continue;
        schedule_one(d, s, all.items[i].seq, 0, now_ns);
    }
    free(all.items);
}
