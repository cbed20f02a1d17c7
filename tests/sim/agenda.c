/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/agenda.h"

#include <stdlib.h>

#include "common/base/xalloc.h"

void agenda_free(struct agenda *agenda)
{
    free(agenda->items);
    *agenda = (struct agenda){0};
}

static bool is_before(const struct agenda_item *a, const struct agenda_item *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

void agenda_add(struct agenda *agenda, uint64_t at_ns, agenda_function *run, void *context,
                uint64_t argument)
{
    if (agenda->count == agenda->capacity) {
        agenda->capacity = agenda->capacity ? agenda->capacity * 2 : 256;
        agenda->items = xrealloc(agenda->items, agenda->capacity * sizeof *agenda->items);
    }
    struct agenda_item item = {at_ns, ++agenda->last_order, run, context, argument};
    size_t at = agenda->count++;
    for (; at && is_before(&item, &agenda->items[(at - 1) / 2]); at = (at - 1) / 2)
        agenda->items[at] = agenda->items[(at - 1) / 2];
    agenda->items[at] = item;
}

bool agenda_take(struct agenda *agenda, struct agenda_item *item)
{
    if (agenda->count == 0)
        return false;
    *item = agenda->items[0];
    struct agenda_item last = agenda->items[--agenda->count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < agenda->count; at = child) {
        if (child + 1 < agenda->count &&
            is_before(&agenda->items[child + 1], &agenda->items[child]))
            child++;
        if (!is_before(&agenda->items[child], &last))
            break;
        agenda->items[at] = agenda->items[child];
    }
    agenda->items[at] = last;
    return true;
}
