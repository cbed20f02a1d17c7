/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_RANDOM_H
#define ZFARM_RANDOM_H

#include <stdint.h>

/* A number that nobody else has: 64 bits of the system's randomness, never 0. */
uint64_t random_u64(void);

#endif
