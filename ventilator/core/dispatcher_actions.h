/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_DISPATCHER_ACTIONS_H
#define ZFARM_DISPATCHER_ACTIONS_H

#include "ventilator/core/dispatcher.h"

struct dispatcher;

/* What is decided and the shell has not taken yet. It owns the ring of actions, and builds the messages that
 * several parts send. All parts call it; it calls none of them. */

struct action_ring {
    struct dispatcher_action *items;
    size_t head;
    size_t count;
    size_t capacity;
};

void dispatcher_send(struct dispatcher *d, uint64_t connection, struct buf *message);
/* The same message to several: takes over one hold of `block`. */
void dispatcher_send_block(struct dispatcher *d, uint64_t connection, struct block *block);
void dispatcher_send_lane(struct dispatcher *d, uint64_t lane, struct block *block);
void dispatcher_act(struct dispatcher *d, enum dispatcher_action_kind kind, uint64_t lane);
void dispatcher_cut(struct dispatcher *d, uint64_t connection);
void dispatcher_say(struct dispatcher *d, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void dispatcher_exit(struct dispatcher *d, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
struct frame_head dispatcher_head(const struct dispatcher *d, enum wire_kind kind,
                                  uint64_t session);
void dispatcher_refuse(struct dispatcher *d, uint64_t connection, enum refuse_reason reason,
                       const char *sentence);
void dispatcher_again(struct dispatcher *d, uint64_t connection, const struct again *m);

#endif
