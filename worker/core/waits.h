/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_WAITS_H
#define ZFARM_WAITS_H

#include "worker/core/slots.h"

/* What a worker waits for, as a sentence for the stall line. It owns nothing and changes nothing; it reads the whole
 * core. False: nothing is waited for. */
bool waits_for(const struct slots *s, uint64_t now_ns, struct why *why);

#endif
