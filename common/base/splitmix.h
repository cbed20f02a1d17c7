/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SPLITMIX_H
#define ZFARM_SPLITMIX_H

#include <stdint.h>

/* The next of a row of random numbers, for jitter: SplitMix64. Any seed will do as the first
 * `*state`, zero too; the same seed gives the same row. */
static inline uint64_t splitmix_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

#endif
