/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/core/ending.h"

#include <inttypes.h>

#include "common/base/clock.h"

void ending_free(struct ending *e)
{
    seqset_free(&e->not_run);
    seqset_free(&e->missing);
}

void ending_remember(struct ending *e, const struct collector_past *past)
{
    struct range gap;
    e->was_closed = past->closed;
    e->total = past->total;
    for (uint64_t at = 1;
         past->closed && at <= past->total && seqset_next_gap(past->stored, at, past->total, &gap);
         at = gap.last + 1)
        seqset_add(&e->not_run, gap.first, gap.last);
}

void ending_forget(struct ending *e)
{
    e->was_closed = false;
    seqset_clear(&e->not_run);
}

void ending_want(struct ending *e, const struct done *done, const struct seqset *stored)
{
    e->phase = ENDING_WANTED;
    e->total = done->total;
    seqset_copy(&e->not_run, &done->not_run);
    if (e->total < UINT64_MAX - 1)
        seqset_remove(&e->not_run, e->total + 1, UINT64_MAX - 1);
    seqset_clear(&e->missing);
    if (e->total)
        seqset_add(&e->missing, 1, e->total);
    seqset_remove_all(&e->missing, &e->not_run);
    seqset_remove_all(&e->missing, stored);
}

void ending_reopen(struct ending *e)
{
    e->phase = ENDING_OPEN;
}

bool ending_complete(struct ending *e, const struct seqset *stored)
{
    if (e->phase != ENDING_WANTED)
        return false;
    if (!seqset_empty(&e->missing))
        seqset_remove_all(&e->missing, stored);
    return seqset_empty(&e->missing);
}

bool ending_lacks(const struct ending *e, const struct seqset *accepted)
{
    for (size_t i = 0; i < e->missing.count; i++) {
        struct range r = e->missing.ranges[i];
        if (seqset_count_in(accepted, r.first, r.last) < r.last - r.first + 1)
            return true;
    }
    return false;
}

void ending_flush(struct ending *e, const struct seqset *accepted, bool is_cut)
{
    uint64_t highest = seqset_max(accepted);
    struct range gap;
    e->phase = ENDING_FLUSHING;
    seqset_remove_all(&e->not_run, accepted);
    if (!is_cut || highest <= e->total)
        return;
    for (uint64_t at = e->total + 1; seqset_next_gap(accepted, at, highest, &gap);
         at = gap.last + 1)
        seqset_add(&e->not_run, gap.first, gap.last);
    e->total = highest;
}

static uint64_t known_tasks(const struct ending *e, const struct job_counts *counts)
{
    return counts->ok + counts->failed + counts->lost + e->not_run.members;
}

bool ending_adds_up(const struct ending *e, const struct job_counts *counts)
{
    return known_tasks(e, counts) == e->total;
}

int ending_status(const struct ending *e, const struct job_counts *counts,
                  const struct halting *halting, struct why *why)
{
    uint64_t bad = counts->failed + counts->lost;
    uint64_t known = known_tasks(e, counts);
    if (known != e->total) {
        fail(why, ERR_INVALID, "of %" PRIu64 " tasks %" PRIu64 " are accounted for", e->total,
             known);
        return 255;
    }
    if (e->is_interrupted) {
        fail(why, ERR_CLOSED, "the job was interrupted");
        return 255;
    }
    if (halting->fired.when)
        return halting->fired.status < 255 ? (int)halting->fired.status : 255;
    if (counts->input_cut) {
        fail(why, ERR_CLOSED, "the input was not read to its end");
        return 255;
    }
    if (!seqset_empty(&e->not_run)) {
        fail(why, ERR_CLOSED, "the job was interrupted: not all tasks were run");
        return 255;
    }
    return halting_status(halting, counts->ok, bad);
}

void ending_say_closed(const struct ending *e, const struct job_counts *counts,
                       const struct halting *halting, struct uplink *uplink)
{
    struct why why;
    struct closed m = {.total = e->total,
                       .ok = counts->ok,
                       .failed = counts->failed,
                       .lost = counts->lost,
                       .not_run = counts->not_run,
                       .doubled = counts->doubled,
                       .status = (uint64_t)ending_status(e, counts, halting, &why)};
    struct buf message = {0};
    uplink_begin(uplink, &message, KIND_CLOSED);
    closed_put(&message, &m);
    uplink_send(uplink, &message);
}

void ending_exit(const struct ending *e, const struct job_counts *counts,
                 const struct halting *halting, bool is_told, struct uplink *uplink)
{
    struct why why = {0};
    int status = ending_status(e, counts, halting, &why);
    if (is_told && ending_adds_up(e, counts))
        why.text[0] = '\0';
    outgoing_exit(&uplink->outgoing, status, &why);
}

/* Soon after there is no ventilator any more where it was, but one that is only silent may still wait for CLOSED. */
uint64_t ending_leave_ns(const struct ending *e, const struct membership *m)
{
    uint64_t present_ns = m->member.present_ns;
    uint64_t since = present_ns > e->closed_ns ? present_ns : e->closed_ns;
    if (e->phase != ENDING_CLOSED)
        return NEVER;
    return m->refused ? since + m->member.limit_ns : e->closed_ns + m->give_up_ns;
}
