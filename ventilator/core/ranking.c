/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/ranking.h"

#include <stdlib.h>

#include "common/base/xalloc.h"

void ranking_free(struct ranking *r)
{
    free(r->items);
    r->items = NULL;
    r->count = r->capacity = 0;
}

static bool ranking_is_before(const struct session *a, const struct session *b)
{
    if (a->standing.load != b->standing.load)
        return a->standing.load < b->standing.load;
    if (a->standing.idle_from_ns != b->standing.idle_from_ns)
        return a->standing.idle_from_ns < b->standing.idle_from_ns;
    return a->id < b->id;
}

static void set(struct ranking *r, size_t at, struct session *s)
{
    r->items[at] = s;
    s->standing.rank[r->which] = at + 1;
}

/* Moves the session from a free place towards the front or the end, as far as it belongs. */
static void ranking_settle(struct ranking *r, size_t at, struct session *s)
{
    for (; at && ranking_is_before(s, r->items[(at - 1) / 2]); at = (at - 1) / 2)
        set(r, at, r->items[(at - 1) / 2]);
    for (size_t child; (child = 2 * at + 1) < r->count; at = child) {
        if (child + 1 < r->count && ranking_is_before(r->items[child + 1], r->items[child]))
            child++;
        if (!ranking_is_before(r->items[child], s))
            break;
        set(r, at, r->items[child]);
    }
    set(r, at, s);
}

void ranking_put(struct ranking *r, struct session *s)
{
    if (s->standing.rank[r->which]) {
        ranking_settle(r, s->standing.rank[r->which] - 1, s);
        return;
    }
    if (r->count == r->capacity) {
        r->capacity = r->capacity ? r->capacity * 2 : 16;
        r->items = xrealloc(r->items, r->capacity * sizeof(struct session *));
    }
    ranking_settle(r, r->count++, s);
}

void ranking_remove(struct ranking *r, struct session *s)
{
    size_t at = s->standing.rank[r->which];
    if (!at)
        return;
    struct session *last = r->items[--r->count];
    s->standing.rank[r->which] = 0;
    if (last != s)
        ranking_settle(r, at - 1, last);
}

struct session *ranking_first(const struct ranking *r)
{
    return r->count ? r->items[0] : NULL;
}
