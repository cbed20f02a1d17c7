/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/dispatcher_actions.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/xalloc.h"
#include "ventilator/core/dispatcher_state.h"

static struct dispatcher_action *dispatcher_push(struct dispatcher *d,
                                                 enum dispatcher_action_kind kind)
{
    if (d->actions.count == d->actions.capacity) {
        size_t capacity = d->actions.capacity ? d->actions.capacity * 2 : 16;
        struct dispatcher_action *actions = xmalloc(capacity * sizeof *actions);
        for (size_t i = 0; i < d->actions.count; i++)
            actions[i] = d->actions.items[(d->actions.head + i) % d->actions.capacity];
        free(d->actions.items);
        d->actions.items = actions;
        d->actions.capacity = capacity;
        d->actions.head = 0;
    }
    struct dispatcher_action *action =
        &d->actions.items[(d->actions.head + d->actions.count++) % d->actions.capacity];
    action->kind = kind;
    action->connection = action->lane = 0;
    action->block = NULL;
    action->status = 0;
    action->why.text[0] = '\0';
    return action;
}

bool dispatcher_next_action(struct dispatcher *d, struct dispatcher_action *action)
{
    if (d->actions.count == 0)
        return false;
    *action = d->actions.items[d->actions.head];
    d->actions.head = (d->actions.head + 1) % d->actions.capacity;
    d->actions.count--;
    return true;
}

void dispatcher_send_block(struct dispatcher *d, uint64_t connection, struct block *block)
{
    struct dispatcher_action *action = dispatcher_push(d, DISPATCHER_SEND_CONTROL);
    action->connection = connection;
    action->block = block;
}

void dispatcher_send(struct dispatcher *d, uint64_t connection, struct buf *message)
{
    dispatcher_send_block(d, connection, block_new(message));
}

void dispatcher_send_lane(struct dispatcher *d, uint64_t lane, struct block *block)
{
    struct dispatcher_action *action = dispatcher_push(d, DISPATCHER_SEND_LANE);
    action->lane = lane;
    action->block = block;
}

void dispatcher_act(struct dispatcher *d, enum dispatcher_action_kind kind, uint64_t lane)
{
    dispatcher_push(d, kind)->lane = lane;
}

void dispatcher_cut(struct dispatcher *d, uint64_t connection)
{
    dispatcher_push(d, DISPATCHER_CUT_CONTROL)->connection = connection;
}

void dispatcher_say(struct dispatcher *d, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct dispatcher_action *action = dispatcher_push(d, DISPATCHER_SAY);
    vsnprintf(action->why.text, sizeof action->why.text, format, args);
    va_end(args);
}

void dispatcher_exit(struct dispatcher *d, int status, const char *format, ...)
{
    if (d->end.exited)
        return;
    d->end.exited = true;
    va_list args;
    va_start(args, format);
    struct dispatcher_action *action = dispatcher_push(d, DISPATCHER_EXIT);
    action->status = status;
    vsnprintf(action->why.text, sizeof action->why.text, format, args);
    va_end(args);
}

struct frame_head dispatcher_head(const struct dispatcher *d, enum wire_kind kind, uint64_t session)
{
    return (struct frame_head){kind, d->job, d->options.incarnation, session};
}

void dispatcher_refuse(struct dispatcher *d, uint64_t connection, enum refuse_reason reason,
                       const char *sentence)
{
    struct refuse m = {reason, bytes_of(sentence)};
    struct buf to = {0};
    wire_begin(&to, KIND_REFUSE, dispatcher_head(d, KIND_REFUSE, 0));
    refuse_put(&to, &m);
    dispatcher_send(d, connection, &to);
}

void dispatcher_again(struct dispatcher *d, uint64_t connection, const struct again *m)
{
    struct buf to = {0};
    wire_begin(&to, KIND_AGAIN, dispatcher_head(d, KIND_AGAIN, m->session));
    again_put(&to, m);
    dispatcher_send(d, connection, &to);
}
