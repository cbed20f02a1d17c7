/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/core/outgoing.h"

#include <stdlib.h>

#include "common/base/xalloc.h"

void outgoing_free(struct outgoing *o)
{
    outgoing_drop_sends(o);
    free(o->items);
    *o = (struct outgoing){0};
}

void outgoing_add(struct outgoing *o, enum collector_action_kind kind, struct block *block)
{
    if (o->count == o->capacity) {
        o->capacity = o->capacity ? o->capacity * 2 : 8;
        o->items = xrealloc(o->items, o->capacity * sizeof *o->items);
    }
    o->items[o->count++] = (struct outgoing_item){kind, block};
}

void outgoing_exit(struct outgoing *o, int status, const struct why *why)
{
    if (o->has_exit)
        return;
    o->has_exit = true;
    o->exit_status = status;
    o->exit_why = *why;
    outgoing_add(o, COLLECTOR_EXIT, NULL);
}

void outgoing_drop_sends(struct outgoing *o)
{
    size_t kept = o->first;
    for (size_t i = o->first; i < o->count; i++) {
        if (o->items[i].kind == COLLECTOR_SEND_CONTROL)
            block_release(&o->items[i].block);
        else
            o->items[kept++] = o->items[i];
    }
    o->count = kept;
}

bool outgoing_pop(struct outgoing *o, struct collector_action *action)
{
    if (o->first == o->count) {
        o->first = o->count = 0;
        return false;
    }
    struct outgoing_item item = o->items[o->first++];
    *action = (struct collector_action){.kind = item.kind, .block = item.block};
    if (item.kind == COLLECTOR_EXIT) {
        action->status = o->exit_status;
        action->why = o->exit_why;
    }
    return true;
}
