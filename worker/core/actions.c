/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/core/actions.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/xalloc.h"

static void entry_let_go(struct action_entry *e)
{
    block_release(&e->block);
    free(e->endpoint);
    free(e->why);
}

void actions_free(struct actions *a)
{
    for (size_t i = a->head; i < a->end; i++)
        entry_let_go(&a->entries[i]);
    free(a->entries);
    *a = (struct actions){0};
}

static struct action_entry *actions_append(struct actions *a, enum slots_action_kind kind)
{
    if (a->end == a->capacity) {
        a->capacity = a->capacity ? a->capacity * 2 : 16;
        a->entries = xrealloc(a->entries, a->capacity * sizeof *a->entries);
    }
    struct action_entry *entry = &a->entries[a->end++];
    *entry = (struct action_entry){.kind = kind};
    return entry;
}

void actions_do(struct actions *a, enum slots_action_kind kind)
{
    actions_append(a, kind);
}

void actions_open(struct actions *a, enum slots_action_kind kind, const char *endpoint)
{
    actions_append(a, kind)->endpoint = xstrdup(endpoint);
}

void actions_open_results(struct actions *a, const char *endpoint, const struct key *sink)
{
    struct action_entry *entry = actions_append(a, SLOTS_OPEN_RESULTS);
    entry->endpoint = xstrdup(endpoint);
    entry->sink = *sink;
}

void actions_send(struct actions *a, enum slots_action_kind kind, struct block *block)
{
    actions_append(a, kind)->block = block;
}

void actions_start(struct actions *a, const struct assignment *assignment)
{
    actions_append(a, SLOTS_START)->assignment = *assignment;
}

void actions_cancel(struct actions *a, unsigned slot, uint64_t seq)
{
    struct action_entry *entry = actions_append(a, SLOTS_CANCEL);
    entry->slot = slot;
    entry->seq = seq;
}

void actions_say(struct actions *a, const struct why *why)
{
    actions_append(a, SLOTS_SAY)->why = xmemdup(why, sizeof *why);
}

void actions_exit(struct actions *a, int status, const struct why *why)
{
    struct action_entry *entry = actions_append(a, SLOTS_EXIT);
    entry->status = status;
    entry->why = xmemdup(why, sizeof *why);
}

bool actions_take(struct actions *a, struct slots_action *action)
{
    if (a->head == a->end) {
        a->head = a->end = 0;
        return false;
    }
    struct action_entry *entry = &a->entries[a->head++];
    action->kind = entry->kind;
    action->block = entry->block;
    action->sink = entry->sink;
    action->assignment = entry->assignment;
    action->slot = entry->slot;
    action->seq = entry->seq;
    action->status = entry->status;
    action->endpoint[0] = action->why.text[0] = '\0';
    if (entry->endpoint)
        snprintf(action->endpoint, sizeof action->endpoint, "%s", entry->endpoint);
    if (entry->why)
        action->why = *entry->why;
    free(entry->endpoint);
    free(entry->why);
    return true;
}
