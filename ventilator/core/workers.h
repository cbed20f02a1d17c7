/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_WORKERS_H
#define ZFARM_WORKERS_H

#include "ventilator/core/dispatcher.h"
#include "ventilator/core/session.h"

struct dispatcher;

/* Workers that are here: what their messages, their silence and their closed connections mean (docs/protocol.md, 4
 * and 5). It owns no struct. dispatcher.c calls it with messages and in each turn; it calls liveness, promises,
 * protests, recall, charges, pending, session_end. */

enum { SILENCE_LINES_A_MINUTE = 60 }; /* about workers that are silent, or of which something is */
void workers_admitted_changed(struct dispatcher *d, uint64_t now_ns);
void workers_message(struct dispatcher *d, struct session *s, enum wire_kind kind,
                     struct bytes body, uint64_t now_ns);
void workers_turn(struct dispatcher *d, uint64_t now_ns);

#endif
