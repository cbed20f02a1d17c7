/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SIM_DIGEST_H
#define ZFARM_SIM_DIGEST_H

#include "common/wire/wire.h"

/* What a run has decided, as one number: each message with its time and its two ends, in the order of sending. Two
 * builds that behave alike have the same digest for each seed, and a change that is to keep the behaviour keeps the
 * digests (tests/sim/decisions.sh). Of a sentence for people counts only whether it is there.
 *
 * `digest` is 0 before the first message. The hash is XXH3, 64 bits, seeded with the digest before. */
void digest_message(uint64_t *digest, uint64_t now_ns, const char *from, const char *to,
                    const struct frame_head *head, struct bytes body);
/* How the run ended: with the violation, or an empty text. */
void digest_end(uint64_t *digest, uint64_t now_ns, const char *violation);

#endif
