/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_PROMISES_H
#define ZFARM_PROMISES_H

#include "ventilator/core/session.h"

struct dispatcher;

/* Results against what was handed out (docs/protocol.md, 15). It owns struct promise of each session, and decides
 * what is run elsewhere since its result does not come. sink_session and workers call it with notes and
 * heartbeats; it calls protests, pending, session_end. */

/* What the sink's note says of where results came from. To be called before what it stores is. */
void promises_note(struct dispatcher *d, const struct stored_note *m, uint64_t now_ns);
/* The worker is there, and whatever it had to say came before. Returns whether its session is over. */
bool promises_heartbeat(struct dispatcher *d, struct session *s, const struct heartbeat *m,
                        uint64_t now_ns);

#endif
