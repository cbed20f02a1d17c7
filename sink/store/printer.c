/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/store/printer.h"

void printer_free(struct printer *p)
{
    seqset_free(&p->waiting);
}

void printer_add(struct printer *p, const struct seqset *tasks)
{
    seqset_add_all(&p->waiting, tasks);
    if (p->ordered && p->next > 1)
        seqset_remove(&p->waiting, 1, p->next - 1); /* printed in an earlier life */
}

bool printer_ready(const struct printer *p)
{
    return !seqset_empty(&p->waiting) && (!p->ordered || seqset_min(&p->waiting) == p->next);
}

enum error printer_turn(struct printer *p,
                        void (*print)(void *context, const struct result *result), void *context,
                        bool *printed, struct why *why)
{
    *printed = false;
    if (!printer_ready(p))
        return ERR_NONE;
    uint64_t seq = seqset_min(&p->waiting);
    enum error error = store_read(p->store, seq, print, context, printed, why);
    if (error)
        return error;
    seqset_remove(&p->waiting, seq, seq);
    p->next = seq + 1;
    return ERR_NONE;
}
