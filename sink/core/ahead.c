/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/core/ahead.h"

void ahead_free(struct ahead *a)
{
    for (size_t i = 0; i < FINAL_KINDS; i++)
        seqset_free(&a->tasks[i]);
}

static void add_run(struct ahead *a)
{
    if (a->next)
        seqset_add(&a->tasks[a->kind], a->first, a->next - 1);
    a->next = 0;
}

void ahead_begin_run(struct ahead *a, enum final_kind kind, uint64_t seq)
{
    add_run(a);
    a->kind = kind;
    a->first = seq;
    a->next = seq + 1;
}

void ahead_read(struct ahead *a, uint64_t tasks, bool is_all, uint64_t behind[static FINAL_KINDS])
{
    add_run(a);
    for (size_t i = 0; i < FINAL_KINDS; i++) {
        if (tasks)
            seqset_remove(&a->tasks[i], 1, tasks);
        behind[i] = is_all ? a->tasks[i].members : 0;
        if (is_all)
            seqset_clear(&a->tasks[i]);
    }
}
