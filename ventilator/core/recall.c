/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/recall.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/xalloc.h"
#include "ventilator/core/dispatcher_actions.h"
#include "ventilator/core/dispatcher_state.h"
#include "ventilator/core/liveness.h"
#include "ventilator/core/reading.h"
#include "ventilator/core/standing.h"

/* Tasks that a worker has not begun are taken back when another one idles and nothing else is to
 * be handed out: so many that both are done at the same time, by the pace at which each reports
 * its tasks. Taking back costs a round trip, and a message for a few tasks: what would be over
 * sooner stays where it is. */

#define PAUSE_NS (50 * NS_PER_MS)    /* for who gave nothing */
#define WORTH_NS (1 * NS_PER_MS)     /* of work; less is not taken back */
#define MESSAGES_NS (10 * NS_PER_US) /* and this much more for each session: what moving it takes */
#define DRY_NS (20 * NS_PER_MS)      /* input that comes in bursts is not at its end */
#define HELD_UP_NS (100 * NS_PER_MS) /* nothing was handed out, since the input must not be read */
#define PATIENCE_NS (100 * NS_PER_MS) /* then even a slow one gets something */
#define AGAIN_NS (20 * NS_PER_MS)
#define SESSION_NS                                                                                 \
    NS_PER_US /* between two looks, for each session: looking takes little of all the time */

/* Who could give, and how long it would take to get through with that. */
struct victim {
    struct session *session;
    double left_ns;
    double rate; /* tasks per ns */
};

void recall_ask(struct dispatcher *d, struct session *s, uint64_t tasks, uint64_t now_ns)
{
    struct buf m = {0};
    wire_begin(&m, KIND_RECALL, dispatcher_head(d, KIND_RECALL, s->id));
    number_put(&m, tasks);
    dispatcher_send(d, s->connection, &m);
    s->recall.is_asked = true;
    s->recall.asked_at_ns = now_ns;
}

void recall_answered(struct session *s, uint64_t tasks, uint64_t now_ns)
{
    s->recall.is_asked = false;
    s->recall.holds_fast = tasks == 0;
    s->recall.again_ns = now_ns + (tasks ? 0 : PAUSE_NS);
}

bool recall_is_overdue(const struct dispatcher *d, const struct session *s, uint64_t now_ns)
{
    return s->recall.is_asked && now_ns > s->recall.asked_at_ns + liveness_limit(d, s);
}

bool recall_may_ask(const struct session *s, uint64_t now_ns)
{
    return s->connection && !s->recall.is_asked && now_ns >= s->recall.again_ns &&
           session_unstarted(s);
}

/* A worker that has not reported for longer than its pace has become slower. */
static struct victim victim_of(const struct dispatcher *d, struct session *s, uint64_t now_ns)
{
    double rate = standing_rate(d, s);
    double silent_ns = now_ns > s->pace_from_ns ? (double)(now_ns - s->pace_from_ns) : 0;
    if (silent_ns * rate > (double)s->slots)
        rate = (double)s->slots / silent_ns;
    return (struct victim){s, (double)session_unstarted(s) / rate, rate};
}

static int by_time_left(const void *a, const void *b)
{
    const struct victim *x = a, *y = b;
    if (x->left_ns != y->left_ns)
        return x->left_ns > y->left_ns ? -1 : 1;
    return (x->session->id > y->session->id) - (x->session->id < y->session->id);
}

struct idle_workers {
    size_t count;
    double rate;
    bool impatient; /* one has waited for long */
};

static struct idle_workers idle_workers_of(const struct dispatcher *d, uint64_t now_ns)
{
    struct idle_workers all = {0};
    for (size_t i = 0; i < d->sessions.count; i++) {
        const struct session *s = d->sessions.items[i];
        if (!s->standing.is_idle)
            continue;
        all.count++;
        all.rate += standing_rate(d, s);
        all.impatient = all.impatient || now_ns >= s->standing.idle_from_ns + PATIENCE_NS;
    }
    return all;
}

/* Those with enough work left, the most first. */
static size_t find_victims(const struct dispatcher *d, uint64_t now_ns, struct victim *victims)
{
    size_t count = 0;
    double worth_ns = (double)(WORTH_NS + d->sessions.count * MESSAGES_NS);
    for (size_t i = 0; i < d->sessions.count; i++) {
        if (!recall_may_ask(d->sessions.items[i], now_ns))
            continue;
        victims[count] = victim_of(d, d->sessions.items[i], now_ns);
        count += victims[count].left_ns >= worth_ns;
    }
    if (count)
        qsort(victims, count, sizeof *victims, by_time_left);
    return count;
}

/* Returns true if a worker was asked. */
static bool even_out(struct dispatcher *d, uint64_t now_ns)
{
    struct victim *victims = xmalloc(d->sessions.count * sizeof *victims);
    size_t count = find_victims(d, now_ns, victims);
    struct idle_workers idle = idle_workers_of(d, now_ns);
    bool asked = false;
    if (count > idle.count)
        count = idle.count;
    for (size_t i = 0; i < count; i++) {
        double taken = idle.rate / (double)count;
        double unstarted = (double)session_unstarted(victims[i].session);
        uint64_t tasks = (uint64_t)(unstarted * taken / (taken + victims[i].rate) + 0.5);
        if (tasks == 0 && idle.impatient)
            tasks = 1;
        if (tasks) {
            recall_ask(d, victims[i].session, tasks, now_ns);
            asked = true;
        }
    }
    free(victims);
    return asked;
}

/* Before, there may still be something else for those who idle. Who idles longest is the next to get what is
 * read: so as long as tasks are handed out, everybody gets some. */
static uint64_t earliest(const struct dispatcher *d)
{
    uint64_t due_ns = d->recall.again_ns;
    if (!d->reading.ended) {
        bool dry = reading_may(d);
        uint64_t since_ns = dry && d->reading.dry_from_ns > d->handed_at_ns ? d->reading.dry_from_ns
                                                                            : d->handed_at_ns;
        since_ns += dry ? DRY_NS : HELD_UP_NS;
        due_ns = since_ns > due_ns ? since_ns : due_ns;
    }
    return due_ns;
}

void recall_turn(struct dispatcher *d, uint64_t now_ns)
{
    d->recall.due_ns = NEVER;
    if (!d->standings.victims || !d->standings.idle || !seqset_empty(&d->pending.queue) ||
        (reading_may(d) && !d->reading.dry))
        return;
    uint64_t due_ns = earliest(d);
    if (now_ns < due_ns) {
        d->recall.due_ns = due_ns;
        return;
    }
    d->recall.again_ns = now_ns + d->sessions.count * SESSION_NS;
    if (!even_out(d, now_ns))
        d->recall.due_ns =
            now_ns + AGAIN_NS > d->recall.again_ns ? now_ns + AGAIN_NS : d->recall.again_ns;
}
