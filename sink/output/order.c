/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/output/order.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/seqset.h"
#include "common/base/xalloc.h"
#include "sink/output/seqheap.h"
#include "sink/output/spool.h"

/* A result that waits in memory: its bytes, stdout before stderr, are at `at` in the arena. */
struct order_entry {
    uint64_t seq;
    size_t at;
    uint32_t out_size;
    uint32_t err_size;
};

static_assert(sizeof(struct order_entry) <= SEQHEAP_WIDTH_MAX &&
                  offsetof(struct order_entry, seq) == 0,
              "entries are in a seqheap");

/* The arena is one piece of memory: the entries, a seqheap, grow from its bottom, the bytes from
 * its top downwards. Bytes that have left are dead until the arena is tidied. */
/* A large result that waits in a file of its own. */
struct order_held {
    uint64_t seq;
    struct bytes out;
    struct bytes err;
    struct block *holder;
};

struct order {
    struct order_options options;
    order_release_fn *release;
    void *context;
    uint64_t next;
    uint64_t waiting;
    struct seqset skipped;
    uint8_t *arena;
    size_t count; /* entries */
    size_t top;   /* where the bytes begin */
    size_t live;  /* bytes of what waits in the arena */
    struct spool *spool;
    struct order_held *held; /* sorted by number */
    size_t held_count;
    uint64_t held_size; /* bytes of them */
};

enum { RELEASE_COST = 16 };

struct order *order_new(const struct order_options *options, order_release_fn *release,
                        void *context)
{
    assert(options->memory_max >= sizeof(struct order_entry) && options->memory_max <= UINT32_MAX);
    struct order *o = xcalloc(1, sizeof *o);
    o->options = *options;
    o->release = release;
    o->context = context;
    o->next = 1;
    o->arena = xmalloc(options->memory_max);
    o->top = options->memory_max;
    o->spool = spool_new(options->tmpdir);
    return o;
}

void order_destroy(struct order **order)
{
    struct order *o = *order;
    if (!o)
        return;
    for (size_t i = 0; i < o->held_count; i++)
        block_release(&o->held[i].holder);
    free(o->held);
    spool_destroy(&o->spool);
    seqset_free(&o->skipped);
    free(o->arena);
    free(o);
    *order = NULL;
}

static struct order_entry *entries(const struct order *o)
{
    return (struct order_entry *)(void *)o->arena;
}

static size_t arena_room(const struct order *o)
{
    return o->top - o->count * sizeof(struct order_entry);
}

/* Moving on. */

static void skip_what_is_skipped(struct order *o)
{
    struct range range;
    while (!seqset_empty(&o->skipped) && seqset_next(&o->skipped, o->next, o->next, &range)) {
        uint64_t last = o->skipped.ranges[0].last;
        seqset_remove(&o->skipped, o->next, last);
        o->next = last + 1;
    }
}

void order_pass(struct order *o)
{
    o->next++;
    skip_what_is_skipped(o);
}

void order_skip(struct order *o, uint64_t first, uint64_t last)
{
    assert(first >= o->next && first <= last);
    seqset_add(&o->skipped, first, last);
    skip_what_is_skipped(o);
}

static void order_release_next(struct order *o, struct bytes out, struct bytes err,
                               struct block *holder)
{
    o->release(o->context, o->next, out, err, holder);
    order_pass(o);
}

static int compare_entries(const void *a, const void *b)
{
    const struct order_entry *x = a, *y = b;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static struct bytes entry_out(const struct order *o, const struct order_entry *e)
{
    return (struct bytes){o->arena + e->at, e->out_size};
}

static struct bytes entry_err(const struct order *o, const struct order_entry *e)
{
    return (struct bytes){o->arena + e->at + e->out_size, e->err_size};
}

/* All that waits in memory becomes a run. Sorted entries are a heap still, should it fail. */
static enum error spill(struct order *o, struct why *why)
{
    struct order_entry *e = entries(o);
    qsort(e, o->count, sizeof *e, compare_entries);
    enum error error = spool_begin_run(o->spool, why);
    for (size_t i = 0; i < o->count && !error; i++)
        error = spool_add(o->spool, e[i].seq, entry_out(o, &e[i]), entry_err(o, &e[i]), why);
    if (error || (error = spool_end_run(o->spool, why)))
        return error;
    o->count = o->live = 0;
    o->top = o->options.memory_max;
    return ERR_NONE;
}

/* Copies what waits into a new arena, without the dead bytes. */
static void tidy(struct order *o)
{
    uint8_t *old = o->arena, *fresh = xmalloc(o->options.memory_max);
    memcpy(fresh, old, o->count * sizeof(struct order_entry));
    o->arena = fresh;
    o->top = o->options.memory_max;
    struct order_entry *e = entries(o);
    for (size_t i = 0; i < o->count; i++) {
        size_t size = (size_t)e[i].out_size + e[i].err_size;
        o->top -= size;
        memcpy(fresh + o->top, old + e[i].at, size);
        e[i].at = o->top;
    }
    free(old);
}

static enum error order_make_room(struct order *o, size_t needed, struct why *why)
{
    if (arena_room(o) >= needed || o->count == 0)
        return ERR_NONE;
    if (o->live + o->count * sizeof(struct order_entry) + needed <= o->options.memory_max / 2) {
        tidy(o);
        return ERR_NONE;
    }
    return spill(o, why);
}

static void put_into_arena(struct order *o, uint64_t seq, struct bytes out, struct bytes err)
{
    o->top -= out.size + err.size;
    o->live += out.size + err.size;
    if (out.size)
        memcpy(o->arena + o->top, out.data, out.size);
    if (err.size)
        memcpy(o->arena + o->top + out.size, err.data, err.size);
    entries(o)[o->count] =
        (struct order_entry){seq, o->top, (uint32_t)out.size, (uint32_t)err.size};
    seqheap_sift_up(o->arena, sizeof(struct order_entry), ++o->count);
}

/* One that is larger than all of the memory is a run of its own. */
static enum error put_into_spool(struct order *o, uint64_t seq, struct bytes out, struct bytes err,
                                 struct why *why)
{
    enum error error = spool_begin_run(o->spool, why);
    if (!error)
        error = spool_add(o->spool, seq, out, err, why);
    return error ? error : spool_end_run(o->spool, why);
}

enum error order_put(struct order *o, uint64_t seq, struct bytes out, struct bytes err,
                     struct why *why)
{
    assert(seq >= o->next);
    if (seq == o->next) {
        order_release_next(o, out, err, NULL);
        return ERR_NONE;
    }
    size_t needed = sizeof(struct order_entry) + out.size + err.size;
    enum error error = order_make_room(o, needed, why);
    if (error)
        return error;
    if (arena_room(o) >= needed)
        put_into_arena(o, seq, out, err);
    else if ((error = put_into_spool(o, seq, out, err, why)))
        return error;
    o->waiting++;
    return ERR_NONE;
}

void order_put_held(struct order *o, uint64_t seq, struct bytes out, struct bytes err,
                    struct block *holder)
{
    assert(seq >= o->next);
    if (seq == o->next) {
        order_release_next(o, out, err, holder);
        return;
    }
    o->held = xrealloc(o->held, (o->held_count + 1) * sizeof *o->held);
    size_t at = o->held_count++;
    for (; at > 0 && o->held[at - 1].seq > seq; at--)
        o->held[at] = o->held[at - 1];
    o->held[at] = (struct order_held){seq, out, err, block_hold(holder)};
    o->held_size += out.size + err.size;
    o->waiting++;
}

/* Leaving. */

static bool ready_in_file(const struct order *o)
{
    return o->held_count && o->held[0].seq == o->next;
}

static size_t release_held(struct order *o)
{
    struct order_held first = o->held[0];
    size_t size = first.out.size + first.err.size;
    memmove(o->held, o->held + 1, --o->held_count * sizeof *o->held);
    o->held_size -= size;
    order_release_next(o, first.out, first.err, first.holder);
    block_release(&first.holder);
    return size;
}

static size_t release_from_arena(struct order *o)
{
    struct order_entry first = entries(o)[0];
    size_t size = (size_t)first.out_size + first.err_size;
    order_release_next(o, entry_out(o, &first), entry_err(o, &first), NULL);
    o->live -= size;
    entries(o)[0] = entries(o)[--o->count];
    seqheap_sift_down(o->arena, sizeof first, o->count);
    if (o->count == 0)
        o->top = o->options.memory_max;
    return size;
}

static enum error release_from_spool(struct order *o, size_t *size, struct why *why)
{
    struct bytes out, err;
    enum error error = spool_take(o->spool, &out, &err, why);
    if (error)
        return error;
    *size = out.size + err.size;
    order_release_next(o, out, err, NULL);
    return ERR_NONE;
}

static bool ready_in_arena(const struct order *o)
{
    return o->count && entries(o)[0].seq == o->next;
}

bool order_ready(const struct order *o)
{
    return ready_in_arena(o) || ready_in_file(o) ||
           (!spool_empty(o->spool) && spool_first(o->spool) == o->next);
}

enum error order_release(struct order *o, size_t max_bytes, struct why *why)
{
    size_t released = 0;
    while (order_ready(o)) {
        size_t size;
        if (ready_in_arena(o)) {
            size = release_from_arena(o);
        } else if (ready_in_file(o)) {
            size = release_held(o);
        } else {
            enum error error = release_from_spool(o, &size, why);
            if (error)
                return error;
        }
        o->waiting--;
        released += size + RELEASE_COST;
        if (released >= max_bytes)
            break;
    }
    return ERR_NONE;
}

uint64_t order_waiting_for(const struct order *o)
{
    return o->next;
}

uint64_t order_waiting(const struct order *o)
{
    return o->waiting;
}

uint64_t order_spooled_bytes(const struct order *o)
{
    return spool_size_bytes(o->spool) + o->held_size;
}

bool order_full(const struct order *o)
{
    return order_spooled_bytes(o) >= o->options.spool_max;
}

size_t order_memory_bytes(const struct order *o)
{
    return sizeof *o + o->options.memory_max + seqset_memory_bytes(&o->skipped) +
           spool_memory_bytes(o->spool);
}
