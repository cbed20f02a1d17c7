/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_PENDING_H
#define ZFARM_PENDING_H

#include "common/base/seqset.h"
#include "ventilator/core/delays.h"
#include "ventilator/core/ledger.h"

struct dispatcher;

/* Where a task is that no worker has: in the queue, alone, delayed, or lost. It owns struct pending_tasks; a task
 * goes from one of the sets to another, or to and from sessions, here only, as its story says. All that take tasks
 * from sessions call it; it calls the ledger and delays. */

/* Every task in the ledger is in exactly one of these, or at one or more sessions. */
struct pending_tasks {
    struct seqset queue;         /* to be handed out */
    struct seqset isolated;      /* to be handed out, alone */
    struct delays delayed;       /* to be handed out later: the last try failed */
    struct seqset loss_pending;  /* taken down too much, not final yet */
    struct seqset loss_reported; /* to be told by VERDICT, not stored yet */
    struct seqset unsaid;        /* of these: not told in this session of the sink */
};

void pending_remove(struct dispatcher *d, uint64_t first, uint64_t last);
/* Puts a task that nobody has where it belongs: queue, `isolated` or `loss_pending`; what is delayed stays so. */
void pending_add(struct dispatcher *d, const struct story *story);
/* Takes the task away from the session; queued again if nobody else has it. Returns its story. */
struct story *pending_take_back(struct dispatcher *d, struct session *s, uint64_t seq);
/* It failed there: one more in a row, if it failed nowhere else before. */
void pending_count_fail(const struct dispatcher *d, struct session *s, uint64_t seq);
/* A try of it failed there, and was not the last. */
void pending_failed(struct dispatcher *d, struct session *s, uint64_t seq, uint64_t now_ns);
void pending_end_delays(struct dispatcher *d, uint64_t now_ns);
uint64_t pending_count(const struct dispatcher *d); /* tasks that no worker has and one will get */
/* Rank of the session's worker among the last failures of the task: 0 never failed there, higher is more recent. */
size_t pending_failed_lately(const struct story *story, const struct session *s);
/* The task ends without a result: VERDICT tells the sink. */
void pending_report_loss(struct dispatcher *d, uint64_t seq);

#endif
