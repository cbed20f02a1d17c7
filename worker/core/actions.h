/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_ACTIONS_H
#define ZFARM_ACTIONS_H

#include "worker/core/slots.h"

/* What the core has decided and the shell has not taken yet, in order. It holds the blocks in it.
 * Zero-initialised is empty; embed it by value. */
struct action_entry {
    enum slots_action_kind kind;
    struct block *block;
    char *endpoint;
    struct key sink;
    struct assignment assignment;
    unsigned slot;
    uint64_t seq;
    int status;
    struct why *why;
};

struct actions {
    struct action_entry *entries;
    size_t head;
    size_t end;
    size_t capacity;
};

void actions_free(struct actions *a);
void actions_do(struct actions *a, enum slots_action_kind kind); /* a CLOSE */
void actions_open(struct actions *a, enum slots_action_kind kind, const char *endpoint);
void actions_open_results(struct actions *a, const char *endpoint, const struct key *sink);
void actions_send(struct actions *a, enum slots_action_kind kind,
                  struct block *block); /* taken over */
void actions_start(struct actions *a, const struct assignment *assignment);
void actions_cancel(struct actions *a, unsigned slot, uint64_t seq);
void actions_say(struct actions *a, const struct why *why);
void actions_exit(struct actions *a, int status, const struct why *why);
/* Takes the first; fills the fields that its kind has. Returns false if there is none. */
bool actions_take(struct actions *a, struct slots_action *action);

#endif
