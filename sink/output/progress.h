/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SINK_PROGRESS_H
#define ZFARM_SINK_PROGRESS_H

#include "common/base/bytes.h"
#include "sink/core/collector.h"
#include "sink/output/estimate.h"

/* The line that tells on a terminal how far the job is. The shell gives the numbers and the time,
 * and calls progress_clear before anything else is written to that terminal. */
struct progress_numbers {
    uint64_t total; /* 0: not known yet */
    uint64_t done;  /* with a final result, failed ones too */
    uint64_t failed;
    uint64_t running;
    uint64_t slots; /* of the workers; 0: not known */
    uint64_t queued;
    unsigned workers;
};

struct progress_numbers progress_numbers_of(const struct job_counts *c);

struct progress {
    int fd; /* the terminal, or -1: nothing is drawn */
    bool shown;
    uint64_t drawn_ns; /* 0: never */
    struct estimate estimate;
};

/* For log_set_prefix_sequence: back to the first column, and the rest of the line cleared. */
#define PROGRESS_CLEAR_SEQUENCE "\r\033[K"

/* Appends the line, without newline, cut to `columns`:
 *
 *     12/1000 done, 2 failed, 4 running, 300 queued, 2 workers, 80.6/s, 12 s left
 *
 * "failed" is there when it is not 0, "/1000" and the time left when the total is known, the rate
 * and the time left when there is a rate (estimate.h). */
void progress_put(struct buf *to, const struct progress_numbers *numbers,
                  const struct estimate *estimate, uint64_t now_ns, unsigned columns);

/* Draws on `fd`, a terminal that stays the caller's; -1 for no progress line. */
void progress_init(struct progress *p, int fd);
/* Draws the line anew if that is due (five times a second) and the terminal takes it at once. */
void progress_draw(struct progress *p, const struct progress_numbers *numbers, uint64_t now_ns);
/* When progress_draw is due next; NEVER without a terminal. */
uint64_t progress_due_ns(const struct progress *p);
/* Takes the line away if it is shown; the next draw brings it back at once. */
void progress_clear(struct progress *p);

#endif
