/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_STATUS_H
#define ZFARM_STATUS_H

struct dispatcher;

/* STATUS: what the sink is told of how far the job is. It owns no struct. sink_session, job_end and dispatcher.c
 * call it; it calls nothing but to send. */

void status_tell(struct dispatcher *d); /* if there is a sink */

#endif
