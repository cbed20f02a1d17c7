/* SPDX-License-Identifier: MPL-2.0 */
#include "common/backoff.h"

#include "common/clock.h"

#define FIRST_NS (100 * NS_PER_MS)
#define LAST_NS (2 * NS_PER_S)

void backoff_init(struct backoff *b, uint64_t seed)
{
    *b = (struct backoff){FIRST_NS, seed};
}

void backoff_reset(struct backoff *b)
{
    b->delay_ns = FIRST_NS;
}

/* SplitMix64: any seed will do, zero too. */
static uint64_t next_random(struct backoff *b)
{
    uint64_t z = b->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint64_t backoff_next(struct backoff *b)
{
    uint64_t delay = b->delay_ns;
    b->delay_ns = delay + delay / 2 < LAST_NS ? delay + delay / 2 : LAST_NS;
    return delay - delay / 5 + next_random(b) % (2 * (delay / 5));
}
