/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SIM_RNG_H
#define ZFARM_SIM_RNG_H

#include <stdbool.h>
#include <stdint.h>

/* The only source of chance in the simulator: splitmix64 (Steele, Lea, Flood 2014). One stream for
 * each purpose, so that a change in one does not shift all the others. */
struct rng {
    uint64_t state;
};

void rng_init(struct rng *rng, uint64_t seed, uint64_t stream);
uint64_t rng_next(struct rng *rng);
uint64_t rng_below(struct rng *rng, uint64_t bound); /* 0 .. bound - 1; 0 for a bound of 0 */
uint64_t rng_between(struct rng *rng, uint64_t low, uint64_t high); /* both inclusive */
bool rng_chance(struct rng *rng, unsigned percent);

#endif
