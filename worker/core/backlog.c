/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/core/backlog.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/xalloc.h"

void backlog_free(struct backlog *b)
{
    for (size_t i = b->head; i < b->end; i++)
        block_release(&b->runs[i].block);
    free(b->runs);
    *b = (struct backlog){0};
}

/* Makes room for one run at `at`, which counts from the start of the array, and returns where it
 * went. */
static struct backlog_run *backlog_insert(struct backlog *b, size_t at)
{
    if (at == b->head && b->head > 0)
        return &b->runs[--b->head];
    if (b->end == b->capacity && b->head > b->capacity / 2) {
        memmove(b->runs, b->runs + b->head, (b->end - b->head) * sizeof *b->runs);
        at -= b->head;
        b->end -= b->head;
        b->head = 0;
    }
    if (b->end == b->capacity) {
        b->capacity = b->capacity ? b->capacity * 2 : 16;
        b->runs = xrealloc(b->runs, b->capacity * sizeof *b->runs);
    }
    memmove(b->runs + at + 1, b->runs + at, (b->end - at) * sizeof *b->runs);
    b->end++;
    return &b->runs[at];
}

static void backlog_erase(struct backlog *b, size_t at)
{
    block_release(&b->runs[at].block);
    if (at == b->head) {
        b->head++;
    } else {
        memmove(b->runs + at, b->runs + at + 1, (b->end - at - 1) * sizeof *b->runs);
        b->end--;
    }
    if (b->head == b->end)
        b->head = b->end = 0;
}

static void backlog_put(struct backlog *b, size_t at, const struct backlog_run *run)
{
    assert(run->count > 0);
    struct backlog_run *place = backlog_insert(b, at);
    *place = *run;
    block_hold(place->block);
    b->tasks += run->count;
    b->size_bytes += backlog_run_credit(run);
}

void backlog_add(struct backlog *b, const struct backlog_run *run)
{
    backlog_put(b, b->end, run);
}

void backlog_put_back(struct backlog *b, const struct backlog_run *run)
{
    backlog_put(b, b->head, run);
}

/* Splits a run: its first `count` tasks stay in it, the rest is returned, without a hold on the
 * block. */
static struct backlog_run split(struct backlog_run *run, uint64_t count)
{
    struct backlog_run rest = *run;
    enum error error = task_skip(&rest.records, count);
    assert(!error);
    rest.first += count;
    rest.count -= count;
    run->count = count;
    run->records.size -= rest.records.size;
    return rest;
}

bool backlog_alone(const struct backlog *b)
{
    return b->tasks > 0 && b->runs[b->head].alone;
}

bool backlog_take(struct backlog *b, uint64_t max, struct backlog_run *taken)
{
    assert(max > 0);
    if (b->tasks == 0)
        return false;
    struct backlog_run *run = &b->runs[b->head];
    *taken = *run;
    block_hold(taken->block);
    if (run->count > max)
        *run = split(taken, max);
    else
        backlog_erase(b, b->head);
    b->tasks -= taken->count;
    b->size_bytes -= backlog_run_credit(taken);
    return true;
}

/* Takes the tasks first..last, which are all in the run at `at`, out of it. */
static void backlog_cut(struct backlog *b, size_t at, uint64_t first, uint64_t last)
{
    struct backlog_run *run = &b->runs[at];
    struct backlog_run middle = split(run, first - run->first);
    struct backlog_run right = split(&middle, last - first + 1);
    b->tasks -= middle.count;
    b->size_bytes -= backlog_run_credit(&middle);
    if (right.count && run->count) {
        b->tasks -= right.count; /* put counts them again */
        b->size_bytes -= backlog_run_credit(&right);
        backlog_put(b, at + 1, &right);
    } else if (right.count) {
        *run = right;
    } else if (!run->count) {
        backlog_erase(b, at);
    }
}

uint64_t backlog_remove(struct backlog *b, uint64_t first, uint64_t last,
                        const struct attempt *attempt)
{
    uint64_t before = b->tasks;
    /* Backwards: what cut inserts or erases is then behind what is still to be looked at, but for
     * the array's front, where erase moves nothing. */
    for (size_t at = b->end; at > b->head; at--) {
        const struct backlog_run *run = &b->runs[at - 1];
        uint64_t run_last = run->first + run->count - 1;
        if (run_last < first || run->first > last ||
            (attempt && !attempt_equal(run->attempt, *attempt)))
            continue;
        size_t head = b->head;
        backlog_cut(b, at - 1, first > run->first ? first : run->first,
                    last < run_last ? last : run_last);
        if (b->head < head)
            at -= head - b->head; /* the array was moved to make room */
    }
    return before - b->tasks;
}

void backlog_give_back(struct backlog *b, uint64_t max, struct seqset *given)
{
    while (max > 0 && b->tasks > 0) {
        const struct backlog_run *run = &b->runs[b->end - 1];
        uint64_t last = run->first + run->count - 1;
        uint64_t count = run->count < max ? run->count : max;
        if (given)
            seqset_add(given, last - count + 1, last);
        backlog_cut(b, b->end - 1, last - count + 1, last);
        max -= count;
    }
}
