/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/exec/slot_batch.h"

#include <assert.h>
#include <unistd.h>

void slot_batch_free(struct slot_batch *batch)
{
    seqset_free(&batch->cancelled);
}

void slot_batch_assign(struct slot_batch *batch, const struct assignment *assignment)
{
    assert(!batch->assigned && assignment->count && assignment->first);
    batch->assignment = *assignment;
    batch->assigned = true;
    batch->given = batch->done = 0;
}

uint64_t slot_batch_next(const struct slot_batch *batch)
{
    return batch->assignment.first + batch->done;
}

uint32_t slot_batch_left(const struct slot_batch *batch)
{
    return batch->assignment.count - batch->done;
}

bool slot_batch_is_running(const struct slot_batch *batch)
{
    return batch->assigned && batch->given > batch->done;
}

bool slot_batch_cancel(struct slot_batch *batch, uint64_t seq)
{
    uint64_t next = slot_batch_next(batch);
    if (!batch->assigned || seq < next || seq - next >= slot_batch_left(batch))
        return false;
    seqset_add(&batch->cancelled, seq, seq);
    return true;
}

bool slot_batch_is_cancelled(const struct slot_batch *batch, uint64_t seq)
{
    return batch->cancelled.members && seqset_has(&batch->cancelled, seq);
}

/* The next `count` tasks have ended; the event is to follow. */
static void slot_batch_advance(struct slot_batch *batch, uint32_t count)
{
    assert(count <= slot_batch_left(batch));
    batch->done += count;
    if (slot_batch_left(batch))
        return;
    batch->assigned = false;
    seqset_clear(&batch->cancelled);
}

static void slot_batch_drop(struct output *output)
{
    if (output->fd >= 0)
        close(output->fd);
}

void slot_batch_finish(struct slot_batch *batch, struct outcome *outcome)
{
    const struct executor_events *events = batch->events;
    uint64_t seq = slot_batch_next(batch);
    bool cancelled = slot_batch_is_cancelled(batch, seq);
    slot_batch_advance(batch, 1);
    if (cancelled) {
        slot_batch_drop(&outcome->out);
        slot_batch_drop(&outcome->err);
        events->cancelled(events->context, batch->slot, seq);
        return;
    }
    outcome->slot = batch->slot;
    outcome->seq = seq;
    events->finished(events->context, outcome);
}

void slot_batch_finish_run(struct slot_batch *batch, struct outcome_run *run)
{
    const struct executor_events *events = batch->events;
    run->slot = batch->slot;
    run->first = slot_batch_next(batch);
    slot_batch_advance(batch, run->count);
    events->finished_run(events->context, run);
}

/* How many of the `left` tasks from `seq` on end in one event: those before the next that is
 * cancelled, which are returned; or one that is cancelled (*kept is false). */
static uint32_t next_to_return(const struct slot_batch *batch, uint64_t seq, uint32_t left,
                               bool *kept)
{
    struct range cancelled = {seq + left, seq + left};
    seqset_next(&batch->cancelled, seq, seq + left - 1, &cancelled);
    *kept = cancelled.first > seq;
    return *kept ? (uint32_t)(cancelled.first - seq) : 1;
}

static void tell_returned(const struct slot_batch *batch, uint64_t seq, uint32_t count, bool kept)
{
    const struct executor_events *events = batch->events;
    if (kept)
        events->returned(events->context, batch->slot, seq, count);
    else
        events->cancelled(events->context, batch->slot, seq);
}

void slot_batch_return(struct slot_batch *batch)
{
    uint32_t left = batch->assigned ? slot_batch_left(batch) : 0;
    while (left) {
        bool kept;
        uint64_t seq = slot_batch_next(batch);
        uint32_t count = next_to_return(batch, seq, left, &kept);
        left -= count;
        slot_batch_advance(batch, count);
        tell_returned(batch, seq, count, kept);
    }
}

void slot_batch_return_behind(struct slot_batch *batch, uint64_t last)
{
    uint64_t seq = last + 1;
    assert(batch->assigned && last - slot_batch_next(batch) < slot_batch_left(batch));
    uint32_t stay = (uint32_t)(seq - batch->assignment.first);
    uint32_t left = batch->assignment.count - stay;
    batch->assignment.count = stay;
    batch->given = batch->given < stay ? batch->given : stay;
    while (left) {
        bool kept;
        uint32_t count = next_to_return(batch, seq, left, &kept);
        tell_returned(batch, seq, count, kept);
        seq += count;
        left -= count;
    }
    seqset_remove(&batch->cancelled, last + 1, seq);
}
