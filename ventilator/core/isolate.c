/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/isolate.h"

#include "ventilator/core/dispatcher_state.h"
#include "ventilator/core/recall.h"
#include "ventilator/core/schedule.h"
#include "ventilator/core/standing.h"

/* Whether a is the better place for a task that must be alone: who has nothing to do, then who is
 * kept free already, then who will be free soonest. */
static bool is_emptier(const struct session *a, const struct session *b)
{
    uint64_t in_a = session_unfinished(a), in_b = session_unfinished(b);
    if (in_a == 0 || in_b == 0 || a->isolation.is_reserved == b->isolation.is_reserved)
        return in_a < in_b;
    return a->isolation.is_reserved;
}

static struct session *emptiest(struct dispatcher *d)
{
    struct session *best = NULL;
    for (size_t i = 0; i < d->sessions.count; i++) {
        struct session *s = d->sessions.items[i];
        bool has_room =
            session_reserve_room(s) || (session_ordinary_room(s) && seqset_empty(&s->out));
        if (standing_is_open(s) && (has_room || session_unfinished(s)) &&
            (!best || is_emptier(s, best)))
            best = s;
    }
    return best;
}

static void send_alone(struct dispatcher *d, struct session *s, uint64_t seq, uint64_t now_ns)
{
    schedule_one(d, s, seq, TASK_ALONE, now_ns);
    s->isolation.task = seq;
    s->isolation.is_reserved = false;
    standing_note(d, s);
}

/* Each task with a loss gets a worker of its own; if none is empty, one is kept free for the next.
 */
void isolate_turn(struct dispatcher *d, uint64_t now_ns)
{
    while (!seqset_empty(&d->pending.isolated)) {
        struct session *s = emptiest(d);
        if (!s)
            return;
        if (session_unfinished(s) == 0) {
            send_alone(d, s, seqset_min(&d->pending.isolated), now_ns);
            continue;
        }
        s->isolation.is_reserved = d->keeps_free = true;
        standing_note(d, s);
        if (recall_may_ask(s, now_ns))
            recall_ask(d, s, session_unstarted(s), now_ns);
        return;
    }
    for (size_t i = 0; d->keeps_free && i < d->sessions.count; i++)
        if (d->sessions.items[i]->isolation.is_reserved) {
            d->sessions.items[i]->isolation.is_reserved = false;
            standing_note(d, d->sessions.items[i]);
        }
    d->keeps_free = false;
}
