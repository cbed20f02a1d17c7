/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_AHEAD_H
#define ZFARM_AHEAD_H

#include "common/base/seqset.h"

/* Tasks whose final result counts, though the ventilator had not said that it has read so far: they may be behind the
 * end of the input, and then count no more.
 * It owns their numbers, by what they count as, and decides which are behind the end. The intake adds to it and asks
 * it. It calls seqset.h. Zero-initialised is empty; embed it by value. */
enum final_kind { FINAL_OK, FINAL_LOST, FINAL_FAILED, FINAL_KINDS };

struct ahead {
    struct seqset tasks[FINAL_KINDS];
    uint64_t first,
        next; /* a run of `kind` to be added, since results come in runs; next 0: none */
    enum final_kind kind;
};

void ahead_free(struct ahead *a);
void ahead_begin_run(struct ahead *a, enum final_kind kind, uint64_t seq); /* for ahead_add */
static inline void ahead_add(struct ahead *a, enum final_kind kind, uint64_t seq)
{
    if (seq == a->next && kind == a->kind)
        a->next++;
    else
        ahead_begin_run(a, kind, seq);
}
/* The ventilator has read `tasks`, which are not ahead any more. If that `is_all`, the set becomes empty, and `behind`
 * is how many of each kind there were behind the end; else it is 0. */
void ahead_read(struct ahead *a, uint64_t tasks, bool is_all, uint64_t behind[static FINAL_KINDS]);

#endif
