/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/core/marks.h"

#include <assert.h>
#include <stdlib.h>

#include "common/base/xalloc.h"

void marks_init(struct marks *m)
{
    *m = (struct marks){.ring = xcalloc(MARKS_MAX, sizeof *m->ring)};
}

void marks_free(struct marks *m)
{
    for (size_t i = 0; i < MARKS_MAX; i++)
        seqset_free(&m->ring[i].tasks);
    free(m->ring);
    seqset_free(&m->fresh);
}

static struct marks_item *mark_at(struct marks *m, size_t i)
{
    return &m->ring[(m->first + i) % MARKS_MAX];
}

static struct marks_item *marks_next(struct marks *m)
{
    struct marks_item *item = mark_at(m, m->count++);
    seqset_clear(&item->tasks); /* it was popped */
    return item;
}

void marks_accept(struct marks *m, uint64_t first, uint64_t last)
{
    seqset_add(&m->fresh, first, last);
}

void marks_add(struct marks *m, uint64_t position_bytes)
{
    if (seqset_empty(&m->fresh))
        return;
    struct marks_item *last = m->count ? mark_at(m, m->count - 1) : NULL;
    assert(!last || last->position_bytes <= position_bytes);
    if (!last || (last->position_bytes < position_bytes && m->count < MARKS_MAX))
        last = marks_next(m);
    seqset_add_all(&last->tasks, &m->fresh);
    last->position_bytes = position_bytes;
    seqset_clear(&m->fresh);
}

void marks_reach(struct marks *m, uint64_t position_bytes)
{
    if (position_bytes > m->reached_bytes)
        m->reached_bytes = position_bytes;
}

bool marks_pop(struct marks *m, const struct seqset **tasks)
{
    struct marks_item *oldest = mark_at(m, 0);
    if (!m->count || oldest->position_bytes > m->reached_bytes)
        return false;
    *tasks = &oldest->tasks;
    m->first = (m->first + 1) % MARKS_MAX;
    m->count--;
    return true;
}
