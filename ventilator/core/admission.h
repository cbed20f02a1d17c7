/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_ADMISSION_H
#define ZFARM_ADMISSION_H

#include "common/base/refusals.h"
#include "common/base/throttle.h"
#include "ventilator/core/dispatcher.h"

struct dispatcher;

/* Whose key may join as what (docs/protocol.md, 13). It owns the throttles of JOINs and of lines about refused
 * keys, and decides from `options.admitted`. dispatcher.c asks it at JOIN, joins and workers when the keys have
 * changed; it calls nothing but to send. */

struct admission {
    struct refusals refusals;
    struct throttle joins;         /* that are looked at */
    struct throttle version_lines; /* about peers of another version */
};

/* Whether the peer's key may join so; if not, it is refused with words. */
bool admission_allows(struct dispatcher *d, const struct origin *from, enum wire_role role,
                      uint64_t now_ns);
bool admission_has(const struct dispatcher *d, const struct key *key, enum key_role role);
void admission_tell_sink(struct dispatcher *d); /* whose results it is to take */

#endif
