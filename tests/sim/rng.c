/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/rng.h"

void rng_init(struct rng *rng, uint64_t seed, uint64_t stream)
{
    rng->state = seed * UINT64_C(0xd1342543de82ef95) + stream;
    rng_next(rng);
}

uint64_t rng_next(struct rng *rng)
{
    uint64_t z = rng->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t rng_below(struct rng *rng, uint64_t bound)
{
    return bound ? rng_next(rng) % bound : 0;
}

uint64_t rng_between(struct rng *rng, uint64_t low, uint64_t high)
{
    return low + rng_below(rng, high - low + 1);
}

bool rng_chance(struct rng *rng, unsigned percent)
{
    return rng_below(rng, 100) < percent;
}
