/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_OUTGOING_H
#define ZFARM_OUTGOING_H

#include "sink/core/collector.h"

/* The actions that the collector has decided on and the shell has not taken yet, in order. EXIT is
 * the last. Zero-initialised is empty; embed it by value. */
struct outgoing_item {
    enum collector_action_kind kind;
    struct block *block;
};

struct outgoing {
    struct outgoing_item *items;
    size_t first; /* what is before it has been taken */
    size_t count;
    size_t capacity;
    bool has_exit; /* EXIT was added: nothing follows it */
    int exit_status;
    struct why exit_why;
};

void outgoing_free(struct outgoing *o);
void outgoing_add(struct outgoing *o, enum collector_action_kind kind, struct block *block);
/* The first time. */
void outgoing_exit(struct outgoing *o, int status, const struct why *why);
/* Drops the messages: the connection they were for is gone. */
void outgoing_drop_sends(struct outgoing *o);
bool outgoing_pop(struct outgoing *o, struct collector_action *action);

#endif
