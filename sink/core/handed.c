/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/core/handed.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/xalloc.h"

void handed_forget(struct handed *h)
{
    for (size_t i = 0; i < h->count; i++)
        seqset_free(&h->items[i].tasks);
    h->count = h->ended_count = 0;
}

void handed_free(struct handed *h)
{
    handed_forget(h);
    free(h->items);
    while (h->early_count)
        block_release(&h->early[--h->early_count].message);
    free(h->early);
    *h = (struct handed){0};
}

/* Where the session is, or would be. */
static size_t handed_place_of(const struct handed *h, uint64_t session)
{
    size_t low = 0, high = h->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (h->items[middle].session < session)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool handed_is_at(const struct handed *h, size_t i, uint64_t session)
{
    return i < h->count && h->items[i].session == session;
}

const struct handed_session *handed_find(const struct handed *h, uint64_t session)
{
    size_t i = handed_place_of(h, session);
    return handed_is_at(h, i, session) ? &h->items[i] : NULL;
}

static struct handed_session *handed_make(struct handed *h, uint64_t session)
{
    size_t i = handed_place_of(h, session);
    if (handed_is_at(h, i, session))
        return &h->items[i];
    if (h->count == h->capacity) {
        h->capacity = h->capacity ? h->capacity * 2 : 8;
        h->items = xrealloc(h->items, h->capacity * sizeof *h->items);
    }
    memmove(h->items + i + 1, h->items + i, (h->count - i) * sizeof *h->items);
    h->count++;
    h->items[i] = (struct handed_session){.session = session, .prune_at = HANDED_PRUNE_MIN};
    return &h->items[i];
}

static void handed_drop(struct handed *h, size_t i)
{
    h->ended_count -= h->items[i].ended != 0;
    seqset_free(&h->items[i].tasks);
    h->count--;
    memmove(h->items + i, h->items + i + 1, (h->count - i) * sizeof *h->items);
}

void handed_add(struct handed *h, const struct session_tasks *m, const struct seqset *done)
{
    struct handed_session *item = handed_make(h, m->session);
    seqset_add_all(&item->tasks, &m->tasks);
    if (item->tasks.count < item->prune_at)
        return;
    seqset_remove_all(&item->tasks, done);
    item->prune_at =
        2 * item->tasks.count > HANDED_PRUNE_MIN ? 2 * item->tasks.count : HANDED_PRUNE_MIN;
}

static void drop_first_ended(struct handed *h)
{
    size_t first = h->count;
    for (size_t i = 0; i < h->count; i++)
        if (h->items[i].ended && (first == h->count || h->items[i].ended < h->items[first].ended))
            first = i;
    assert(first < h->count);
    handed_drop(h, first);
}

void handed_end(struct handed *h, uint64_t session, const struct seqset *done)
{
    size_t i = handed_place_of(h, session);
    if (!handed_is_at(h, i, session) || h->items[i].ended)
        return;
    seqset_remove_all(&h->items[i].tasks, done);
    if (seqset_empty(&h->items[i].tasks)) {
        handed_drop(h, i);
        return;
    }
    h->items[i].ended = ++h->ends;
    if (++h->ended_count > HANDED_ENDED_MAX)
        drop_first_ended(h);
}

void handed_wait(struct handed *h, const struct early_results *early)
{
    if ((h->early_count & (h->early_count - 1)) == 0) /* full: a power of two, or none */
        h->early = xrealloc(h->early, (h->early_count ? 2 * h->early_count : 1) * sizeof *h->early);
    h->early[h->early_count++] = *early;
    h->early_bytes += block_bytes(early->message).size;
    h->early_ns = early->came_ns;
}

struct early_results handed_pop(struct handed *h, size_t i)
{
    struct early_results early = h->early[i];
    h->early_count--;
    memmove(h->early + i, h->early + i + 1, (h->early_count - i) * sizeof *h->early);
    h->early_bytes -= block_bytes(early.message).size;
    return early;
}

uint64_t handed_ask_due(const struct handed *h, uint64_t asked_ns)
{
    static const uint64_t interval_ns = 10 * NS_PER_MS;
    if (!h->early_count || asked_ns > h->early_ns)
        return NEVER;
    uint64_t after_ns = h->early_ns + 1;
    return asked_ns + interval_ns > after_ns ? asked_ns + interval_ns : after_ns;
}
