/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/core/senders.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/xalloc.h"

static void senders_forget(struct sender *sender)
{
    seqset_free(&sender->seen);
    seqset_free(&sender->origin);
    pieces_drop(&sender->pieces);
}

void senders_free(struct senders *s)
{
    for (size_t i = 0; i < s->count; i++)
        senders_forget(&s->items[i]);
    free(s->items);
    *s = (struct senders){0};
}

static bool senders_is_before(const struct sender *sender, uint64_t incarnation, uint64_t session)
{
    return sender->incarnation != incarnation ? sender->incarnation < incarnation
                                              : sender->session < session;
}

/* Where the session is, or would be. */
static size_t senders_place_of(const struct senders *s, uint64_t incarnation, uint64_t session)
{
    size_t low = 0, high = s->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (senders_is_before(&s->items[middle], incarnation, session))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void forget_quietest(struct senders *s)
{
    size_t quietest = 0;
    for (size_t i = 1; i < s->count; i++)
        if (s->items[i].used < s->items[quietest].used)
            quietest = i;
    senders_forget(&s->items[quietest]);
    s->count--;
    memmove(s->items + quietest, s->items + quietest + 1, (s->count - quietest) * sizeof *s->items);
}

static struct sender *senders_insert(struct senders *s, uint64_t incarnation, uint64_t session)
{
    if (s->count == SENDERS_MAX)
        forget_quietest(s);
    if (s->count == s->capacity) {
        s->capacity = s->capacity ? s->capacity * 2 : 8;
        s->items = xrealloc(s->items, s->capacity * sizeof *s->items);
    }
    size_t i = senders_place_of(s, incarnation, session);
    memmove(s->items + i + 1, s->items + i, (s->count - i) * sizeof *s->items);
    s->count++;
    s->items[i] = (struct sender){.incarnation = incarnation, .session = session, .floor = 1};
    return &s->items[i];
}

static struct sender *look_up(struct senders *s, uint64_t incarnation, uint64_t session)
{
    size_t i = senders_place_of(s, incarnation, session);
    bool known =
        i < s->count && s->items[i].incarnation == incarnation && s->items[i].session == session;
    struct sender *sender = known ? &s->items[i] : senders_insert(s, incarnation, session);
    sender->used = ++s->uses;
    return sender;
}

static void raise_floor(struct sender *sender, uint64_t floor)
{
    if (floor > 1)
        seqset_remove(&sender->seen, 1, floor - 1);
    sender->floor = floor;
}

/* The first missing batches that were not told. */
static bool find_gap(const struct sender *sender, struct range *gap)
{
    uint64_t from = sender->told < sender->floor ? sender->floor : sender->told + 1;
    uint64_t last = seqset_max(&sender->seen);
    return from <= last && seqset_next_gap(&sender->seen, from, last, gap);
}

/* What comes again was asked for, from the lowest gap on and in order: what is missing below it was lost
 * once more, and is to be asked for once more. */
static void note_again(struct sender *sender, uint64_t batch)
{
    struct range missing;
    if (batch <= sender->again)
        sender->told_again = false;
    sender->again = batch;
    if (sender->told_again || sender->rounds == SENDERS_ROUNDS_MAX || sender->floor >= batch ||
        !seqset_next_gap(&sender->seen, sender->floor, batch - 1, &missing))
        return;
    sender->told = missing.first - 1;
    sender->told_again = true;
    sender->rounds++;
}

static void note_arrival(struct senders *s, struct sender *sender)
{
    sender->has_arrival = s->has_arrivals = true;
}

bool senders_add_batch(struct senders *s, uint64_t incarnation, uint64_t session, uint64_t batch,
                       uint64_t floor)
{
    struct sender *sender = look_up(s, incarnation, session);
    if (sender->ended)
        return true;
    bool is_new = batch >= sender->floor && seqset_add(&sender->seen, batch, batch);
    if (is_new && batch <= sender->told)
        sender->rounds = 0;
    if (batch > sender->highest) {
        sender->highest = batch;
        note_arrival(s, sender);
    }
    if (floor > sender->floor)
        raise_floor(sender, floor < batch ? floor : batch);
    if (sender->seen.count > SENDERS_SEEN_RANGES_MAX)
        raise_floor(sender, sender->seen.ranges[1].first);
    if (!is_new)
        note_again(sender, batch);
    struct range gap;
    s->has_gaps = s->has_gaps || find_gap(sender, &gap);
    return is_new;
}

struct pieces *senders_pieces(struct senders *s, uint64_t incarnation, uint64_t session)
{
    struct sender *sender = look_up(s, incarnation, session);
    return sender->ended ? NULL : &sender->pieces;
}

void senders_add_piece(struct senders *s, uint64_t incarnation, uint64_t session, size_t size_bytes)
{
    struct sender *sender = look_up(s, incarnation, session);
    if (sender->ended || size_bytes == 0)
        return;
    sender->offset += size_bytes;
    note_arrival(s, sender);
}

void senders_end(struct senders *s, uint64_t incarnation, uint64_t session)
{
    struct sender *sender = look_up(s, incarnation, session);
    senders_forget(sender);
    sender->ended = true;
    sender->has_arrival = false;
}

void senders_drop_before(struct senders *s, uint64_t incarnation)
{
    size_t count = senders_place_of(s, incarnation, 0);
    for (size_t i = 0; i < count; i++)
        senders_forget(&s->items[i]);
    s->count -= count;
    if (s->count && count)
        memmove(s->items, s->items + count, s->count * sizeof *s->items);
}

bool senders_take_gap(struct senders *s, uint64_t incarnation, size_t *at, struct gap *gap)
{
    while (*at < s->count) {
        struct sender *sender = &s->items[(*at)++];
        struct range missing;
        if (sender->incarnation == incarnation && find_gap(sender, &missing)) {
            sender->told = seqset_max(&sender->seen); /* all that follow are sent again too */
            *gap = (struct gap){sender->session, missing.first};
            return true;
        }
    }
    s->has_gaps = false;
    return false;
}

void senders_take(struct senders *s, uint64_t incarnation, uint64_t session, uint64_t first,
                  uint64_t last)
{
    struct sender *sender = look_up(s, incarnation, session);
    if (sender->ended)
        return;
    seqset_add(&sender->origin, first, last);
    s->has_origins = true;
}

bool senders_take_origin(struct senders *s, uint64_t incarnation, size_t *at, size_t *ranges,
                         struct session_tasks *origin)
{
    while (*at < s->count) {
        struct sender *sender = &s->items[(*at)++];
        struct seqset tasks = sender->origin;
        if (seqset_empty(&tasks))
            continue;
        sender->origin = (struct seqset){0};
        if (sender->incarnation == incarnation && tasks.count <= *ranges) {
            *ranges -= tasks.count;
            *origin = (struct session_tasks){sender->session, tasks};
            return true;
        }
        seqset_free(&tasks);
    }
    s->has_origins = false;
    return false;
}

bool senders_take_arrival(struct senders *s, uint64_t incarnation, size_t *at,
                          struct arrival *arrival)
{
    while (*at < s->count) {
        struct sender *sender = &s->items[(*at)++];
        if (sender->incarnation != incarnation || !sender->has_arrival)
            continue;
        sender->has_arrival = false;
        *arrival = (struct arrival){sender->session, sender->highest, sender->offset};
        return true;
    }
    s->has_arrivals = false;
    return false;
}

void senders_untell(struct senders *s)
{
    for (size_t i = 0; i < s->count; i++) {
        s->items[i].told = 0;
        s->items[i].has_arrival = !s->items[i].ended;
    }
    s->has_gaps = s->has_arrivals = s->count > 0;
}
