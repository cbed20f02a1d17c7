/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/output/estimate.h"

#include <string.h>

#include "common/base/clock.h"

/* Two marks are so far apart that all of them span the last half of what was done, or more. */
static uint64_t mark_distance(const struct estimate *e, uint64_t done)
{
    uint64_t since = done - e->marks[0].done;
    return since / (ESTIMATE_MARKS / 2) + 1;
}

static void add_mark(struct estimate *e, uint64_t done, uint64_t now_ns)
{
    if (e->marks_count == ESTIMATE_MARKS)
        memmove(e->marks, e->marks + 1, --e->marks_count * sizeof *e->marks);
    e->marks[e->marks_count++] = (struct estimate_mark){done, now_ns, e->busy_s};
}

static double estimate_seconds(uint64_t from_ns, uint64_t to_ns)
{
    return (double)(to_ns - from_ns) / (double)NS_PER_S;
}

static void note_slots(struct estimate *e, uint64_t running, uint64_t slots, uint64_t now_ns)
{
    if (e->began_ns)
        e->busy_s += (double)e->busy * estimate_seconds(e->noted_ns, now_ns);
    e->noted_ns = now_ns;
    e->slots = slots;
    e->busy = running < slots ? running : slots;
}

static void estimate_begin(struct estimate *e, uint64_t now_ns)
{
    e->began_ns = now_ns;
    add_mark(e, e->done, now_ns);
}

void estimate_note(struct estimate *e, uint64_t done, uint64_t running, uint64_t slots,
                   uint64_t now_ns)
{
    bool began_before = !e->began_ns && e->noted_ns && done > e->done;
    if (began_before)
        estimate_begin(e, e->noted_ns);
    note_slots(e, running, slots, now_ns);
    if (!e->began_ns) {
        e->done = done;
        e->done_ns = now_ns;
        if (running)
            estimate_begin(e, now_ns);
    }
    if (done <= e->done)
        return;
    e->done = done;
    e->done_ns = now_ns;
    e->done_busy_s = e->busy_s;
    if (done - e->marks[e->marks_count - 1].done >= mark_distance(e, done))
        add_mark(e, done, now_ns);
}

double estimate_per_second(const struct estimate *e)
{
    const struct estimate_mark *from = &e->marks[0];
    if (!e->marks_count || e->done_ns <= from->at_ns)
        return 0;
    return (double)(e->done - from->done) / estimate_seconds(from->at_ns, e->done_ns);
}

/* How long the tasks that have not begun will take, if they are like the last ones. */
static double possible_s(const struct estimate *e, uint64_t left)
{
    const struct estimate_mark *from = &e->marks[0];
    if (!e->slots || left <= e->busy)
        return 0;
    double run_s = (e->done_busy_s - from->busy_s) / (double)(e->done - from->done);
    return (double)(left - e->busy) * run_s / (double)e->slots;
}

double estimate_left_s(const struct estimate *e, uint64_t left, uint64_t now_ns)
{
    double per_second = estimate_per_second(e);
    if (per_second <= 0)
        return -1;
    double left_s = (double)left / per_second - estimate_seconds(e->done_ns, now_ns);
    double least_s = possible_s(e, left);
    return left_s > least_s ? left_s : least_s;
}
