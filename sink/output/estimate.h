/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SINK_ESTIMATE_H
#define ZFARM_SINK_ESTIMATE_H

#include <stdbool.h>
#include <stdint.h>

/* How fast a job goes and how long it will take, told from how many tasks were done when, and on how many slots.
 *
 * Time is counted between completions only, since nothing is known between them: else the rate of long tasks would
 * sink until the next one ends. Until some have been done it is done / elapsed, from when the first task was at a
 * worker (or, if one has ended before that was heard of, from the look before); later the mean over the last
 * completions, at least half of all, so that it follows a job whose tasks change and is not moved by one burst.
 *
 * The time left is never less than is possible: tasks that have not begun still have to run, and as far as
 * is known they run as long as those before. How long that was is the time that slots were busy by the tasks that
 * ended in it. So a job whose workers leave, or that has come to a long task, does not seem to be about to end.
 * Zero-initialised is ready; embed it by value. */
enum { ESTIMATE_MARKS = 16 };

struct estimate {
    uint64_t began_ns; /* when tasks were at workers first; 0: not yet */
    uint64_t noted_ns;
    uint64_t slots, busy; /* now; busy: of the slots */
    double busy_s;        /* of all slots together, since it began */
    uint64_t done, done_ns;
    double done_busy_s; /* busy_s when it was noted that `done` were done */
    struct estimate_mark {
        uint64_t done, at_ns;
        double busy_s;
    } marks
        [ESTIMATE_MARKS]; /* in order; from the first of them to the last completion it is counted */
    unsigned marks_count;
};

/* What is known now. `done` never falls; what was there before the job began counts for nothing. `running` is
 * how many are at workers, `slots` how many these have; 0: not known. */
void estimate_note(struct estimate *e, uint64_t done, uint64_t running, uint64_t slots,
                   uint64_t now_ns);
double estimate_per_second(const struct estimate *e); /* 0: not known yet */
/* Seconds until `left` more are done; below 0: not known yet. */
double estimate_left_s(const struct estimate *e, uint64_t left, uint64_t now_ns);

#endif
