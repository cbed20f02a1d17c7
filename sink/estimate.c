/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/estimate.h"

#include <string.h>

#include "common/clock.h"

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
    e->marks[e->marks_count++] = (struct estimate_mark){done, now_ns};
}

void estimate_note(struct estimate *e, uint64_t done, uint64_t running, uint64_t now_ns)
{
    if (!e->began_ns) {
        e->done = done;
        e->done_ns = now_ns;
        if (!running)
            return;
        e->began_ns = now_ns;
        add_mark(e, done, now_ns);
        return;
    }
    if (done <= e->done)
        return;
    e->done = done;
    e->done_ns = now_ns;
    if (done - e->marks[e->marks_count - 1].done >= mark_distance(e, done))
        add_mark(e, done, now_ns);
}

double estimate_per_second(const struct estimate *e)
{
    const struct estimate_mark *from = &e->marks[0];
    if (!e->marks_count || e->done_ns <= from->at_ns)
        return 0;
    return (double)(e->done - from->done) * (double)NS_PER_S / (double)(e->done_ns - from->at_ns);
}

double estimate_left_s(const struct estimate *e, uint64_t left, uint64_t now_ns)
{
    double per_second = estimate_per_second(e);
    if (per_second <= 0)
        return -1;
    double passed_s = (double)(now_ns - e->done_ns) / (double)NS_PER_S;
    double seconds = (double)left / per_second - passed_s;
    return seconds > 0 ? seconds : 0;
}
