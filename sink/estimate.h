/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SINK_ESTIMATE_H
#define ZFARM_SINK_ESTIMATE_H

#include <stdint.h>

/* How fast a job goes and how long it will take, told from nothing but how many tasks were done when.
 *
 * Time is counted between completions only, since nothing is known between them: else the rate of long tasks would
 * sink until the next one ends. Until some have been done it is done / elapsed, from when the first task was at a
 * worker; later the mean over the last completions, at least half of all, so that it follows a job whose tasks
 * change and is not moved by one burst. Zero-initialised is ready; embed it by value. */
enum { ESTIMATE_MARKS = 16 };

struct estimate {
    uint64_t began_ns; /* when tasks were at workers first; 0: not yet */
    uint64_t done, done_ns;
    struct estimate_mark {
        uint64_t done, at_ns;
    } marks
        [ESTIMATE_MARKS]; /* in order; from the first of them to the last completion it is counted */
    unsigned marks_count;
};

/* What is known now. `done` never falls; what was there before the job began counts for nothing. */
void estimate_note(struct estimate *e, uint64_t done, uint64_t running, uint64_t now_ns);
double estimate_per_second(const struct estimate *e); /* 0: not known yet */
/* Seconds until `left` more are done; below 0: not known yet. */
double estimate_left_s(const struct estimate *e, uint64_t left, uint64_t now_ns);

#endif
