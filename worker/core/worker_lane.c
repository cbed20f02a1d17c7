/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/core/worker_lane.h"

#include <stdlib.h>

#include "common/base/xalloc.h"
#include "worker/core/credit.h"

enum {
    PIECES_MEMORY_MAX = 64 << 10, /* a task that is put together goes to a file above it */
    EARLY_MAX = 4 * CREDIT_TASKS_MAX
};

void worker_lane_free(struct worker_lane *l)
{
    worker_lane_drop_pieces(l);
    free(l->early);
}

void worker_lane_reset(struct worker_lane *l)
{
    worker_lane_drop_pieces(l);
    l->ended = false;
    l->batch = l->offset = 0;
    l->received = l->received_bytes = 0;
    l->told = (struct credit){0};
    l->early_count = 0;
}

void worker_lane_drop_pieces(struct worker_lane *l)
{
    pieces_drop(&l->pieces);
    block_release(&l->whole);
}

bool worker_lane_remember(struct worker_lane *l, const struct cancel_item *item)
{
    if (l->early_count == EARLY_MAX)
        return false;
    if (l->early_count == l->early_capacity) {
        l->early_capacity = l->early_capacity ? l->early_capacity * 2 : 8;
        l->early = xrealloc(l->early, l->early_capacity * sizeof *l->early);
    }
    l->early[l->early_count++] = *item;
    return true;
}

void worker_lane_reached(struct worker_lane *l, uint64_t batch, struct backlog *backlog)
{
    size_t left = 0;
    l->batch = batch;
    for (size_t i = 0; i < l->early_count; i++) {
        struct cancel_item item = l->early[i];
        if (item.batch > batch)
            l->early[left++] = item;
        else
            backlog_remove(backlog, item.seq, item.seq, &item.attempt);
    }
    l->early_count = left;
}

enum error worker_lane_add_piece(struct worker_lane *l, const struct piece *m, const char *tmpdir,
                                 struct why *why)
{
    struct pieces_limits limits = {
        .memory_max = PIECES_MEMORY_MAX, .size_max = (uint64_t)TASK_SIZE_MAX * 2, .tmpdir = tmpdir};
    struct pieces_part part = {m->seq, m->attempt, m->offset, m->total, m->content};
    struct bytes record;
    bool is_whole;
    if (l->whole)
        worker_lane_drop_pieces(l);
    enum error error = pieces_add(&l->pieces, &limits, &part, &is_whole, &record, why);
    if (!error && is_whole && !(l->whole = pieces_hold(&l->pieces)))
        l->whole = block_new(&l->pieces.memory);
    return error;
}

bool worker_lane_whole(const struct worker_lane *l, uint64_t incarnation, struct task_run *run)
{
    struct attempt attempt = {incarnation, run->number};
    if (!l->whole || l->pieces.seq != run->first || !attempt_equal(l->pieces.attempt, attempt))
        return false;
    run->records = block_bytes(l->whole);
    struct bytes rest = run->records;
    struct task task;
    return !task_take(&rest, &task) && rest.size == 0;
}
