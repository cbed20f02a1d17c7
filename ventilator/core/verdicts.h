/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_VERDICTS_H
#define ZFARM_VERDICTS_H

#include <stdint.h>

struct dispatcher;

/* VERDICT: what the sink is told of tasks that end without a result, lost or too large. It decides how many fit a
 * message. job_end calls it in each turn; it reads pending and charges. */

/* Each once in a session of the sink: what is said on a connection arrives there, or the connection ends, and with it
 * the session. */
void verdicts_send(struct dispatcher *d);

#endif
