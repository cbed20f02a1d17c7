/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_VENTILATOR_STORED_H
#define ZFARM_VENTILATOR_STORED_H

#include "common/base/seqset.h"

struct dispatcher;

/* What becomes of tasks that are stored: they leave the ledger, the queue and the sessions, whose workers are
 * told. It decides which other attempt is told to stop. sink_session and audit call it; it calls pending, charges,
 * sessions. */

/* The tasks are stored: out of queues and sessions, whose workers are told. */
void stored_take(struct dispatcher *d, const struct seqset *tasks, uint64_t now_ns);

#endif
