/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_LANE_INBOX_H
#define ZFARM_LANE_INBOX_H

#include "worker/core/slots.h"

/* What a message on the lane does: HELLO, TASKS, PIECE, END. It owns nothing (worker_lane.h has what came), and decides
 * which messages make sense: tasks that make none end the session, since only the ventilator knows what was in them.
 * The shell's messages come in here. It calls session.h, reports.h, the backlog and the results. */
void lane_inbox_message(struct slots *s, struct bytes message, uint64_t now_ns);

#endif
