/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_LEAVING_H
#define ZFARM_LEAVING_H

#include "worker/core/slots.h"

/* The ways to end: a drain, what broke, the job's end, no ventilator.
 * It owns struct departure and decides when the worker may go, what of it is killed before (--grace), and with which
 * status and words. The shell's drain, abort and broken come in here, and the turn and the inbox call it. It calls
 * session.h, reports.h and work.h. */

/* EXIT, after BYE where there is a session. */
void leave_exit(struct slots *s, int status, const struct why *why);
/* The job is over, or there is none for this worker: EXIT when nothing runs any more, unless it stays for the next. */
void leave_stop(struct slots *s, int status, const struct why *why, uint64_t now_ns);
void leave_turn(struct slots *s, uint64_t now_ns);
uint64_t leave_deadline(const struct slots *s);

#endif
