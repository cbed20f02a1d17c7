/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/core/running.h"

#include <assert.h>
#include <stdlib.h>

#include "common/base/xalloc.h"

void running_init(struct running *r, unsigned slots)
{
    *r = (struct running){.slots = xcalloc(slots, sizeof *r->slots), .count = slots};
}

void running_free(struct running *r)
{
    for (unsigned i = 0; i < r->count; i++) {
        block_release(&r->slots[i].run.block);
        seqset_free(&r->slots[i].ended);
        seqset_free(&r->slots[i].unwanted);
    }
    free(r->slots);
    *r = (struct running){0};
}

void running_start(struct running *r, unsigned slot, const struct backlog_run *run, uint64_t now_ns)
{
    struct slot *s = &r->slots[slot];
    assert(slot < r->count && !s->run.block);
    seqset_clear(&s->ended);
    seqset_clear(&s->unwanted);
    s->run = *run;
    s->next = run->first;
    s->rest = run->records;
    s->left = run->count;
    s->started_ns = s->since_ns = now_ns;
    s->duration_ns = s->finished = 0;
    s->held = false;
    r->busy++;
    r->alone = run->alone;
    r->size_bytes += backlog_run_credit(run);
}

static bool running_is_open(const struct slot *s, uint64_t seq)
{
    return s->run.block && seq >= s->next && seq - s->run.first < s->run.count &&
           !seqset_has(&s->ended, seq);
}

bool running_find(const struct running *r, unsigned slot, uint64_t seq, struct backlog_run *task,
                  bool *wanted)
{
    if (slot >= r->count || !running_is_open(&r->slots[slot], seq))
        return false;
    const struct slot *s = &r->slots[slot];
    struct bytes from = s->rest;
    enum error error = task_skip(&from, seq - s->next);
    struct bytes behind = from;
    error = error ? error : task_skip(&behind, 1);
    assert(!error);
    *task = s->run;
    task->first = seq;
    task->count = 1;
    task->records = (struct bytes){from.data, from.size - behind.size};
    *wanted = !seqset_has(&s->unwanted, seq);
    return true;
}

/* Moves `next` behind seq and behind all that has ended out of order. */
static void running_advance(struct slot *s, uint64_t seq)
{
    s->held = false;
    uint64_t next = seq + 1;
    while (seqset_has(&s->ended, next))
        next++;
    enum error error = task_skip(&s->rest, next - s->next);
    assert(!error);
    s->next = next;
}

/* When nothing is left in the slot it is free. */
static bool take_off(struct running *r, struct slot *s, uint64_t count)
{
    s->left -= count;
    if (s->left > 0)
        return false;
    r->busy--;
    r->alone = r->alone && r->busy;
    r->size_bytes -= backlog_run_credit(&s->run);
    block_release(&s->run.block);
    return true;
}

bool running_end(struct running *r, unsigned slot, uint64_t seq, uint64_t now_ns)
{
    struct slot *s = &r->slots[slot];
    assert(slot < r->count && running_is_open(s, seq));
    if (seq == s->next) {
        running_advance(s, seq);
        s->since_ns = now_ns;
    } else {
        seqset_add(&s->ended, seq, seq);
    }
    return take_off(r, s, 1);
}

bool running_are_next(const struct running *r, unsigned slot, uint64_t first, uint64_t count)
{
    const struct slot *s = &r->slots[slot];
    return slot < r->count && s->run.block && first == s->next && count <= s->left &&
           seqset_empty(&s->ended) && seqset_empty(&s->unwanted);
}

bool running_end_next(struct running *r, unsigned slot, uint64_t count, uint64_t now_ns)
{
    struct slot *s = &r->slots[slot];
    assert(running_are_next(r, slot, s->next, count));
    if (count < s->left)
        running_advance(s, s->next + count - 1);
    s->since_ns = now_ns;
    return take_off(r, s, count);
}

bool running_unwant(struct running *r, uint64_t seq, const struct attempt *attempt, unsigned *slot)
{
    for (; *slot < r->count; ++*slot) {
        struct slot *s = &r->slots[*slot];
        if (running_is_open(s, seq) && (!attempt || attempt_equal(s->run.attempt, *attempt)))
            return seqset_add(&s->unwanted, seq, seq) == 1;
    }
    return false;
}

/* The first wanted task of the slot among first..last, or 0. */
static uint64_t slot_wanted(const struct slot *s, uint64_t first, uint64_t last)
{
    if (!s->run.block)
        return 0;
    uint64_t end = s->run.first + s->run.count;
    uint64_t seq = first > s->next ? first : s->next;
    for (; seq < end && seq <= last; seq++)
        if (!seqset_has(&s->ended, seq) && !seqset_has(&s->unwanted, seq))
            return seq;
    return 0;
}

uint64_t running_wanted(const struct running *r, uint64_t first, uint64_t last, unsigned *slot)
{
    for (; *slot < r->count; ++*slot) {
        uint64_t seq = slot_wanted(&r->slots[*slot], first, last);
        if (seq)
            return seq;
    }
    return 0;
}

unsigned running_unwanted(const struct running *r)
{
    unsigned count = 0;
    for (unsigned i = 0; i < r->count; i++) {
        const struct slot *s = &r->slots[i];
        count += s->run.block && !seqset_empty(&s->unwanted) && !slot_wanted(s, 0, UINT64_MAX - 1);
    }
    return count;
}

void running_list(const struct running *r, struct attempt_list *list)
{
    for (unsigned i = 0; i < r->count; i++) {
        const struct slot *s = &r->slots[i];
        for (uint64_t seq = 0; (seq = slot_wanted(s, seq + 1, UINT64_MAX - 1)) != 0;)
            attempt_list_add(list, seq, s->run.attempt);
    }
}

uint64_t running_longest(const struct running *r, uint64_t *since_ns)
{
    uint64_t longest = 0;
    for (unsigned i = 0; i < r->count; i++) {
        const struct slot *s = &r->slots[i];
        if (s->run.block && !seqset_has(&s->unwanted, s->next) &&
            (!longest || s->since_ns < *since_ns)) {
            longest = s->next;
            *since_ns = s->since_ns;
        }
    }
    return longest;
}
