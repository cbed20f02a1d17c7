/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/standing.h"

#include "common/base/clock.h"
#include "ventilator/core/dispatcher_state.h"

enum {
    SUSPECT_FAILS =
        20 /* so many failures in a row, while others succeed, and it gets one at a time */
};

bool standing_is_open(const struct session *s)
{
    return s->lane && s->connection && !s->ended && !s->leaving && !s->isolation.task &&
           !s->results.stuck_ms && !s->joins_anew && !s->lane_state.rests_until_ns;
}

/* One on which everything fails, while others succeed, gets one task at a time: so many failures in a row of tasks
 * that failed nowhere else, and it is not the tasks' fault. */
static bool is_suspect(const struct dispatcher *d, const struct session *s)
{
    return s->fails_in_a_row >= SUSPECT_FAILS && d->standings.succeeding;
}

uint64_t standing_room(const struct dispatcher *d, const struct session *s, enum ranking_kind kind)
{
    if (!standing_is_open(s) || s->isolation.is_reserved)
        return 0;
    uint64_t room = session_has_bytes(s, 1) ? session_ordinary_room(s) : 0;
    if (kind == TAKES_QUEUED && session_reserve_room(s) > room)
        room = session_reserve_room(s);
    if (room && is_suspect(d, s))
        room = session_unfinished(s) == 0;
    return room;
}

/* As long as its own pace is not known it is taken to be like the others. */
double standing_rate(const struct dispatcher *d, const struct session *s)
{
    double pace_ns = pace_of(&s->pace), slot_pace_ns = pace_of(&d->standings.slot_pace);
    if (pace_ns > 0)
        return 1 / pace_ns;
    return (double)s->slots / (slot_pace_ns > 0 ? slot_pace_ns : (double)NS_PER_S);
}

/* Below 1: it has a slot that idles. Else the time until it is through with what it has. */
static double load_of(const struct dispatcher *d, const struct session *s)
{
    double unfinished = (double)session_unfinished(s), slots = (double)session_usable_slots(s);
    if (session_is_idle(s))
        return unfinished / slots;
    return 1 + (unfinished - slots + 1) / standing_rate(d, s);
}

static void note_success(struct dispatcher *d, struct session *s, bool succeeds)
{
    bool before = d->standings.succeeding;
    if (succeeds == s->standing.succeeds)
        return;
    d->standings.succeeding += succeeds;
    d->standings.succeeding -= s->standing.succeeds;
    s->standing.succeeds = succeeds;
    for (size_t i = 0; before != (d->standings.succeeding > 0) && i < d->sessions.count; i++)
        if (d->sessions.items[i]->fails_in_a_row >= SUSPECT_FAILS)
            standing_note(d, d->sessions.items[i]);
}

static void note_rank(struct dispatcher *d, struct session *s)
{
    double rate = 0;
    for (enum ranking_kind kind = TAKES_NEW; kind < RANKINGS; kind++)
        if (standing_room(d, s, kind)) {
            ranking_put(&d->standings.takers[kind], s);
            rate = kind == TAKES_QUEUED ? standing_rate(d, s) : 0;
        } else {
            ranking_remove(&d->standings.takers[kind], s);
        }
    d->standings.takers_rate += rate - s->standing.rate;
    s->standing.rate = rate;
    if (d->standings.takers[TAKES_QUEUED].count == 0)
        d->standings.takers_rate = 0; /* rounding does not add up for ever */
}

void standing_note(struct dispatcher *d, struct session *s)
{
    uint64_t unfinished = session_unfinished(s);
    if (unfinished && !s->standing.unfinished)
        s->pace_from_ns = d->turned_at_ns;
    s->standing.unfinished = unfinished;
    bool is_victim = s->connection && session_unstarted(s) > 0;
    bool is_idle = session_is_idle(s) && standing_room(d, s, TAKES_QUEUED);
    d->standings.victims += is_victim;
    d->standings.victims -= s->standing.is_victim;
    d->standings.idle += is_idle;
    d->standings.idle -= s->standing.is_idle;
    if (is_idle && !s->standing.is_idle)
        s->standing.idle_from_ns = d->turned_at_ns;
    s->standing.is_victim = is_victim;
    s->standing.is_idle = is_idle;
    if (!seqset_empty(&s->handed.tasks))
        seqset_add(&d->handed, s->id, s->id);
    s->standing.load = load_of(d, s);
    note_rank(d, s);
    note_success(d, s, s->used && s->fails_in_a_row == 0);
}

void standing_note_end(struct dispatcher *d, struct session *s)
{
    note_success(d, s, false);
    for (enum ranking_kind kind = TAKES_NEW; kind < RANKINGS; kind++)
        ranking_remove(&d->standings.takers[kind], s);
    d->standings.takers_rate -= s->standing.rate;
    d->standings.victims -= s->standing.is_victim;
    d->standings.idle -= s->standing.is_idle;
}
