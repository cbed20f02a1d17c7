/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_VERDICTS_H
#define ZFARM_VERDICTS_H

#include <stdint.h>

struct dispatcher;

/* Tasks that end without a result: lost, or too large. It owns the set of those whose verdict the sink has not
 * stored, and decides what each is told by VERDICT. charges, audit and dispatcher.c add tasks, sink_session sends;
 * it calls schedule to unqueue a task, charges for words. */

void verdicts_add(struct dispatcher *d, uint64_t seq);
/* Each once in a session of the sink: what is said on a connection arrives there, or the connection ends, and with it
 * the session. */
void verdicts_send(struct dispatcher *d);

#endif
