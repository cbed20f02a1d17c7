/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SINK_SUMMARY_H
#define ZFARM_SINK_SUMMARY_H

#include "common/base/bytes.h"
#include "sink/core/collector.h"

/* How the job came out, as the sink has counted it. */
struct summary {
    uint64_t tasks; /* numbered so far: the input's length when it was read to its end */
    uint64_t ok;
    uint64_t failed; /* final results that are neither ok nor lost */
    uint64_t lost;
    uint64_t from_store;     /* of these three, those that an earlier run has stored */
    uint64_t not_run;        /* the job was stopped before their turn */
    uint64_t missing;        /* without a verdict: 0 unless zfarm is wrong */
    uint64_t written_twice;  /* likewise; not late results that were dropped */
    uint64_t reasons_hidden; /* failures whose reason was not printed (text.h) */
    uint64_t not_taken;      /* results, since their worker was never handed the task */
    unsigned workers;        /* that took part */
    uint64_t elapsed_ns;
    bool stopped_early; /* the input was not read to its end */
    uint64_t halted_by; /* the task that ended the job early (--halt); 0: none */
};

/* What the collector knows of it; the rest is 0. */
struct summary summary_of(const struct job_counts *c);

/* Appends the last line, with its newline:
 *
 *     1000 tasks: 998 ok, 2 failed, 0 lost; 4 workers; 12.4 s; 80.6 tasks/s
 *
 * The rate is of what was done now. Behind "lost" come ", D not run", ", M missing", ", D double" and "; S of
 * them from the store" when they are not 0; at the end
 * "; N results not taken", "; halted by task N", "; input not read to its end" and "; N reasons not shown". */
void summary_put(struct buf *to, const struct summary *summary);

/* Something is missing or double, which it never is unless zfarm is wrong. */
bool summary_is_wrong(const struct summary *summary);

#endif
