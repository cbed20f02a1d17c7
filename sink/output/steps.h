/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SINK_STEPS_H
#define ZFARM_SINK_STEPS_H

#include "sink/output/files.h"

/* Which results are written, counted in steps: a step ends at each flush, and it is stored as soon as the files have
 * been written as far as they had been filled when it ended.
 * Owns: where each step ended. Decides: up to which step all is stored. Called by: direct.c. Calls: nothing.
 * Of more than STEPS_MAX steps that wait, the newest takes in what follows. Zero-initialised is empty. */
enum { STEPS_MAX = 64 };

struct output_step {
    uint64_t step;
    struct files_positions end;
};

struct output_steps {
    struct output_step ring[STEPS_MAX];
    size_t first;
    size_t count;
    uint64_t given;  /* steps that have ended */
    uint64_t stored; /* of these, all up to here are stored */
};

void steps_end(struct output_steps *s, struct files_positions end);
/* The files have been written so far. */
void steps_reached(struct output_steps *s, struct files_positions written);

#endif
