/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/output/summary.h"

#include <inttypes.h>

#include "common/base/clock.h"

struct summary summary_of(const struct job_counts *c)
{
    uint64_t known = c->ok + c->failed + c->lost + c->not_run;
    return (struct summary){.tasks = c->total,
                            .ok = c->ok,
                            .failed = c->failed,
                            .lost = c->lost,
                            .not_run = c->not_run,
                            .missing = c->total > known ? c->total - known : 0,
                            .workers = (unsigned)c->workers,
                            .stopped_early = c->input_cut,
                            .not_taken = c->strange};
}

static void put_unless_0(struct buf *to, const char *format, uint64_t count)
{
    if (count)
        buf_printf(to, format, count);
}

void summary_put(struct buf *to, const struct summary *s)
{
    double seconds = (double)s->elapsed_ns / (double)NS_PER_S;
    double done = (double)(s->ok + s->failed + s->lost - s->from_store);
    buf_printf(to, "%" PRIu64 " %s: %" PRIu64 " ok, %" PRIu64 " failed, %" PRIu64 " lost", s->tasks,
               s->tasks == 1 ? "task" : "tasks", s->ok, s->failed, s->lost);
    put_unless_0(to, ", %" PRIu64 " not run", s->not_run);
    put_unless_0(to, ", %" PRIu64 " missing", s->missing);
    put_unless_0(to, ", %" PRIu64 " double", s->written_twice);
    put_unless_0(to, "; %" PRIu64 " of them from the store", s->from_store);
    buf_printf(to, "; %u %s; %.1f s; %.1f tasks/s", s->workers,
               s->workers == 1 ? "worker" : "workers", seconds, seconds > 0 ? done / seconds : 0);
    put_unless_0(to,
                 "; %" PRIu64 " results not counted: of tasks that their worker was never handed",
                 s->not_taken);
    put_unless_0(to, "; halted by task %" PRIu64, s->halted_by);
    if (s->stopped_early)
        buf_put_text(to, "; input not read to its end");
    put_unless_0(to, "; %" PRIu64 " reasons not shown", s->reasons_hidden);
    buf_put_byte(to, '\n');
}

bool summary_is_wrong(const struct summary *s)
{
    return s->missing || s->written_twice;
}
