/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_VENTILATOR_HANDED_H
#define ZFARM_VENTILATOR_HANDED_H

#include "ventilator/core/session.h"

struct dispatcher;

/* Which tasks each session was handed, for a sink that takes no other results (docs/protocol.md, 19). It owns
 * struct handed_tasks of each session and the set of sessions of which the sink is not told all, and decides when
 * HANDED goes. A file that tells the sink something from which it could conclude that a result is not among them
 * calls it before; it calls nothing but to send. */

/* A sink has joined: from now on it is told who is handed what, if it wants to know; first all at once. */
void handed_begin(struct dispatcher *d);
/* The session is new: what its process had in others and has failed there counts as handed to it as well. */
void handed_note_tried(struct dispatcher *d, struct session *s);
/* Such a sink is told what it has not been told yet. Whatever it is told after that, it knows who had been handed
 * what before. */
void handed_tell(struct dispatcher *d);

#endif
