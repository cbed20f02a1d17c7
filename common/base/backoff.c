/* SPDX-License-Identifier: MPL-2.0 */
#include "common/base/backoff.h"

#include "common/base/clock.h"
#include "common/base/splitmix.h"

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

uint64_t backoff_next(struct backoff *b)
{
    uint64_t delay = b->delay_ns;
    b->delay_ns = delay + delay / 2 < LAST_NS ? delay + delay / 2 : LAST_NS;
    return delay - delay / 5 + splitmix_next(&b->random) % (2 * (delay / 5));
}
