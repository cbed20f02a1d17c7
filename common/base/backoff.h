/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_BACKOFF_H
#define ZFARM_BACKOFF_H

#include <stdint.h>

/* How long to wait before the next attempt to connect: 0.1 s at first, then half as long again each
 * time, up to 2 s. A fifth more or less by chance, so that a thousand workers do not come back in
 * one moment. Embed it by value. */
struct backoff {
    uint64_t delay_ns; /* before chance */
    uint64_t random;
};

void backoff_init(struct backoff *b, uint64_t seed);
void backoff_reset(struct backoff *b);    /* it worked: the next wait is short again */
uint64_t backoff_next(struct backoff *b); /* ns to wait now */

#endif
