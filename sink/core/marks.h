/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_MARKS_H
#define ZFARM_MARKS_H

#include "common/base/seqset.h"

/* Which accepted results are stored, by positions of the output: what was accepted before a mark is stored when the
 * output has reached the mark's position.
 * Owns: the results that are accepted and not stored. Decides: when they are. Called by: intake.c. Calls: nothing.
 * Of more than MARKS_MAX marks that wait, the newest takes in what follows. Positions only grow. */
enum { MARKS_MAX = 1024 };

struct marks_item {
    uint64_t position_bytes;
    struct seqset tasks;
};

struct marks {
    struct marks_item *ring;
    size_t first;
    size_t count;
    struct seqset fresh; /* accepted since the last mark */
    uint64_t reached_bytes;
};

void marks_init(struct marks *m);
void marks_free(struct marks *m);

void marks_accept(struct marks *m, uint64_t first, uint64_t last);
/* What was accepted so far is stored when `position_bytes` is reached. */
void marks_add(struct marks *m, uint64_t position_bytes);
void marks_reach(struct marks *m, uint64_t position_bytes);
/* What is stored now and was not taken out yet, a mark at a time; false: nothing is. `tasks` is valid until the next
 * call. */
bool marks_pop(struct marks *m, const struct seqset **tasks);

#endif
