/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/delays.h"

#include <assert.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/splitmix.h"
#include "common/base/xalloc.h"

uint64_t delay_after(uint64_t first_ns, uint32_t fails, uint64_t *random)
{
    const uint64_t most_ns = RETRY_DELAY_MAX_S * NS_PER_S;
    uint64_t delay_ns = first_ns;
    for (uint32_t i = 1; i < fails && delay_ns && delay_ns < most_ns; i++)
        delay_ns = delay_ns * 2 < most_ns ? delay_ns * 2 : most_ns;
    uint64_t half_ns = delay_ns / 2;
    return delay_ns - (half_ns ? splitmix_next(random) % (half_ns + 1) : 0);
}

void delays_free(struct delays *d)
{
    seqset_free(&d->tasks);
    free(d->heap);
    *d = (struct delays){0};
}

static bool delays_is_before(const struct delay *a, const struct delay *b)
{
    return a->due_ns < b->due_ns || (a->due_ns == b->due_ns && a->seq < b->seq);
}

static void delays_swap(struct delay *a, struct delay *b)
{
    struct delay c = *a;
    *a = *b;
    *b = c;
}

static void sift_up(struct delays *d, size_t at)
{
    for (; at && delays_is_before(&d->heap[at], &d->heap[(at - 1) / 2]); at = (at - 1) / 2)
        delays_swap(&d->heap[at], &d->heap[(at - 1) / 2]);
}

static void sift_down(struct delays *d, size_t at)
{
    for (;;) {
        size_t least = at, left = 2 * at + 1, right = left + 1;
        if (left < d->count && delays_is_before(&d->heap[left], &d->heap[least]))
            least = left;
        if (right < d->count && delays_is_before(&d->heap[right], &d->heap[least]))
            least = right;
        if (least == at)
            return;
        delays_swap(&d->heap[at], &d->heap[least]);
        at = least;
    }
}

void delays_add(struct delays *d, uint64_t seq, uint64_t due_ns)
{
    uint64_t added = seqset_add(&d->tasks, seq, seq);
    assert(added == 1);
    if (d->count == d->capacity) {
        d->capacity = d->capacity ? d->capacity * 2 : 16;
        d->heap = xrealloc(d->heap, d->capacity * sizeof *d->heap);
    }
    d->heap[d->count++] = (struct delay){due_ns, seq};
    sift_up(d, d->count - 1);
}

/* Seldom: another worker had the task as well, and its result has come. */
void delays_remove(struct delays *d, uint64_t first, uint64_t last)
{
    if (seqset_count_in(&d->tasks, first, last) == 0)
        return;
    seqset_remove(&d->tasks, first, last);
    size_t left = 0;
    for (size_t i = 0; i < d->count; i++)
        if (d->heap[i].seq < first || d->heap[i].seq > last)
            d->heap[left++] = d->heap[i];
    d->count = left;
    for (size_t i = d->count / 2; i-- > 0;)
        sift_down(d, i);
}

uint64_t delays_take(struct delays *d, uint64_t now_ns)
{
    if (d->count == 0 || now_ns < d->heap[0].due_ns)
        return 0;
    uint64_t seq = d->heap[0].seq;
    d->heap[0] = d->heap[--d->count];
    sift_down(d, 0);
    seqset_remove(&d->tasks, seq, seq);
    return seq;
}

uint64_t delays_next_ns(const struct delays *d)
{
    return d->count ? d->heap[0].due_ns : NEVER;
}
