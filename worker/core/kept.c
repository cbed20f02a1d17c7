/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/core/kept.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/xalloc.h"

void kept_init(struct kept *k, struct bytes worker)
{
    *k = (struct kept){.worker = worker, .batch_max = BATCH_BYTES_MAX};
}

static void batch_let_go(struct kept *k, struct kept_batch *b)
{
    k->size_bytes -= b->size_bytes + KEPT_OVERHEAD_BYTES;
    buf_free(&b->message);
    block_release(&b->block);
    seqset_free(&b->tasks);
}

void kept_drop(struct kept *k)
{
    for (size_t i = k->begin; i < k->end; i++)
        batch_let_go(k, &k->batches[i]);
    k->begin = k->end = k->next = 0;
    k->number = 0;
    seqset_clear(&k->tasks);
    batch_free(&k->open);
}

void kept_free(struct kept *k)
{
    kept_drop(k);
    seqset_free(&k->tasks);
    free(k->batches);
    *k = (struct kept){0};
}

bool kept_has(const struct kept *k, uint64_t first, uint64_t last)
{
    return batch_has_open(&k->open, first, last) || seqset_count_in(&k->open.tasks, first, last) ||
           seqset_count_in(&k->tasks, first, last);
}

uint64_t kept_size_bytes(const struct kept *k)
{
    return k->size_bytes + k->open.message.size;
}

bool kept_empty(const struct kept *k)
{
    return k->begin == k->end && k->open.results == 0;
}

static bool is_full(const struct kept *k)
{
    return k->open.message.size >= k->batch_max || k->open.results >= BATCH_TASKS_MAX;
}

bool kept_put(struct kept *k, const struct result *result)
{
    batch_put(&k->open, k->worker, result);
    return is_full(k);
}

bool kept_put_run(struct kept *k, const struct result_run *run, size_t failed)
{
    batch_put_run(&k->open, k->worker, run, failed);
    return is_full(k);
}

/* Room for one batch at the end. */
static struct kept_batch *kept_append(struct kept *k)
{
    if (k->end == k->capacity && k->begin > k->capacity / 2) {
        memmove(k->batches, k->batches + k->begin, (k->end - k->begin) * sizeof *k->batches);
        k->end -= k->begin;
        k->next -= k->begin;
        k->begin = 0;
    }
    if (k->end == k->capacity) {
        k->capacity = k->capacity ? k->capacity * 2 : 16;
        k->batches = xrealloc(k->batches, k->capacity * sizeof *k->batches);
    }
    return &k->batches[k->end++];
}

/* Gives back what the message does not need: it may be kept for long. */
static void trim(struct buf *message)
{
    if (message->capacity - message->size > message->size / 8) {
        message->data = xrealloc(message->data, message->size);
        message->capacity = message->size;
    }
}

void kept_close(struct kept *k, struct seqset *finished, uint64_t *failed)
{
    struct batch *open = &k->open;
    if (open->results == 0)
        return;
    batch_close(open);
    trim(&open->message);
    seqset_add_all(&k->tasks, &open->tasks);
    seqset_add_all(finished, &open->tasks);
    *failed += open->failed;
    *kept_append(k) = (struct kept_batch){.message = open->message,
                                          .number = ++k->number,
                                          .tasks = open->tasks,
                                          .results = open->results,
                                          .finals = open->tasks.members,
                                          .size_bytes = open->message.size,
                                          .history = seqset_empty(&open->tasks)};
    k->size_bytes += open->message.size + KEPT_OVERHEAD_BYTES;
    *open = (struct batch){0};
}

/* Removes from the batch what was released; returns how much that was. */
static uint64_t batch_release(struct kept_batch *b, const struct seqset *tasks)
{
    uint64_t before = b->tasks.members;
    uint64_t last = seqset_max(&b->tasks);
    struct range found;
    for (uint64_t at = seqset_min(&b->tasks); before && seqset_next(tasks, at, last, &found);) {
        seqset_remove(&b->tasks, found.first, found.last);
        at = found.last + 1;
        if (at > last)
            break;
    }
    return before - b->tasks.members;
}

uint64_t kept_release(struct kept *k, const struct seqset *tasks)
{
    uint64_t here = 0, done = 0;
    for (size_t i = 0; i < tasks->count; i++)
        here += seqset_remove(&k->tasks, tasks->ranges[i].first, tasks->ranges[i].last);
    /* A task is kept once, so that the search ends when all were found: as a rule in the oldest. */
    size_t i = k->begin, freed = 0, sent = 0;
    for (; done < here && i < k->end; i++) {
        struct kept_batch *b = &k->batches[i];
        done += batch_release(b, tasks);
        if (b->history || !seqset_empty(&b->tasks))
            continue;
        sent += i < k->next;
        freed++;
        batch_let_go(k, b);
        b->number = 0;
    }
    /* What stays of those looked at moves up to those that were not. */
    size_t to = i;
    for (size_t from = i; freed && from > k->begin; from--)
        if (k->batches[from - 1].number)
            k->batches[--to] = k->batches[from - 1];
    k->begin += freed;
    k->next += freed - sent;
    return here;
}

void kept_begin_session(struct kept *k)
{
    k->number = 0;
    for (size_t i = k->begin; i < k->end; i++)
        k->batches[i].number = ++k->number;
    k->next = k->begin;
}

bool kept_is_out(const struct kept *k, uint64_t batch)
{
    return k->next > k->begin && k->batches[k->next - 1].number > batch;
}

void kept_resend(struct kept *k, uint64_t number)
{
    while (k->next > k->begin && k->batches[k->next - 1].number >= number)
        k->next--;
}

/* The first number of the unbroken row that ends at `i`. What lies before a hole is either released
 * or was sent before on the same connection, so nothing below it is missing. */
static uint64_t floor_of(const struct kept *k, size_t i)
{
    const struct kept_batch *b = k->batches;
    if (b[i].number - b[k->begin].number == i - k->begin)
        return b[k->begin].number;
    while (i > k->begin && b[i - 1].number + 1 == b[i].number)
        i--;
    return b[i].number;
}

static bool same_head(struct frame_head a, struct frame_head b)
{
    return a.job == b.job && a.incarnation == b.incarnation && a.session == b.session;
}

/* Makes the block that is sent: the first time from the very message, later from a copy, since
 * others may hold the block that was sent before, or that same block when nothing in its head would
 * change. */
static void batch_stamp(struct kept_batch *b, struct frame_head head, uint64_t floor)
{
    if (b->block && same_head(b->head, head) && b->floor == floor)
        return;
    if (b->block) {
        buf_put_bytes(&b->message, block_bytes(b->block));
        block_release(&b->block);
    }
    batch_head_write(&b->message, head, b->number, floor);
    b->head = head;
    b->floor = floor;
    b->block = block_new(&b->message);
}

/* ---- smaller ones ---- */

/* What a result takes in a message, or a little more. */
static size_t record_size(const struct result *r)
{
    enum { HEAD_MAX = 128 };
    return HEAD_MAX + r->task.size + r->command.size + r->out.size + r->err.size;
}

struct apart {
    uint64_t arrived;
    kept_take_fn *take;
    void *context;
};

/* What is closed here was reported before. */
static void close_apart(struct kept *k)
{
    struct seqset finished = {0};
    uint64_t failed = 0;
    kept_close(k, &finished, &failed);
    seqset_free(&finished);
}

static void put_apart(struct kept *k, const struct result *r, const struct apart *how)
{
    if (how->take && record_size(r) > k->batch_max)
        how->take(how->context, r);
    else if (kept_put(k, r))
        close_apart(k);
}

static bool has_useless(const struct kept_batch *b, uint64_t arrived)
{
    return b->tasks.members < b->finals || (b->finals < b->results && b->number <= arrived);
}

/* `message` is of a batch that is not kept any more, but for the `tasks` in it, and for history if `has_history`. */
static void put_all_apart(struct kept *k, struct bytes message, const struct seqset *tasks,
                          bool has_history, const struct apart *how)
{
    struct frame_head frame;
    struct results_head head;
    struct bytes body, runs;
    struct result_run run;
    if (frame_take(message, &frame, &body) || results_take(body, &head, &runs))
        return; /* it is our own */
    while (runs.size && !result_run_take(&runs, &run)) {
        struct result r = {.attempt = run.attempt, .tries = run.tries, .worker = head.worker};
        for (r.seq = run.first; r.seq < run.first + run.count && !result_take(&run.records, &r);
             r.seq++)
            if (r.final ? seqset_has(tasks, r.seq) : has_history)
                put_apart(k, &r, how);
    }
}

static void take_apart(struct kept *k, struct kept_batch *b, const struct apart *how)
{
    batch_stamp(b, (struct frame_head){.kind = KIND_RESULTS, .job = 1}, b->number);
    struct block *block = block_hold(b->block);
    struct seqset tasks = b->tasks;
    bool has_history = b->number > how->arrived;
    b->tasks = (struct seqset){0};
    seqset_remove_all(&k->tasks, &tasks);
    batch_let_go(k, b);
    put_all_apart(k, block_bytes(block), &tasks, has_history, how);
    seqset_free(&tasks);
    block_release(&block);
}

void kept_take_apart(struct kept *k, size_t batch_max, uint64_t arrived, kept_take_fn *take,
                     void *context)
{
    const struct apart how = {arrived, take, context};
    struct kept_batch *old = k->batches;
    size_t begin = k->begin, end = k->end;
    k->batch_max = batch_max;
    k->batches = NULL;
    k->begin = k->end = k->next = k->capacity = 0;
    for (size_t i = begin; i < end; i++) {
        struct kept_batch *b = &old[i];
        if (has_useless(b, arrived) || (take && b->size_bytes > 2 * batch_max)) {
            take_apart(k, b, &how);
        } else {
            close_apart(k);
            *kept_append(k) = *b;
        }
    }
    close_apart(k);
    free(old);
}

struct block *kept_probe(struct kept *k, struct frame_head head)
{
    struct buf message = {0};
    wire_begin(&message, KIND_RESULTS, head);
    k->number++;
    results_begin(&message, &(struct results_head){k->number, k->number, k->worker});
    return block_new(&message);
}

struct block *kept_next(struct kept *k, struct frame_head head)
{
    if (k->next == k->end)
        return NULL;
    struct kept_batch *b = &k->batches[k->next];
    batch_stamp(b, head, floor_of(k, k->next));
    struct block *block = block_hold(b->block);
    if (!b->history) {
        k->next++;
        return block;
    }
    batch_let_go(k, b);
    memmove(b, b + 1, (k->end - k->next - 1) * sizeof *b);
    k->end--;
    return block;
}
