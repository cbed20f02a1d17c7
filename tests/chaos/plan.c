/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/chaos/plan.h"

#include "common/base/clock.h"
#include "tests/sim/rng.h"

static struct rng begin(struct plan *plan, uint64_t seed, uint64_t stream)
{
    struct rng rng;
    rng_init(&rng, seed, stream);
    *plan = (struct plan){.chance = rng_next(&rng), .keep_order = rng_chance(&rng, 30)};
    return rng;
}

static void add(struct plan *plan, struct blow blow)
{
    plan->blows[plan->count++] = blow;
}

void plan_kills(struct plan *plan, uint64_t seed, uint64_t tasks)
{
    struct rng rng = begin(plan, seed, 1);
    uint64_t kills = rng_between(&rng, 1, 3), last = tasks * 97 / 100, at = 0;
    for (uint64_t i = 0; i < kills; i++) {
        struct blow blow = {.role = (enum role)rng_below(&rng, ROLES)};
        at = rng_between(&rng, at, at + (last - at) / (kills - i));
        blow.at_ran = at;
        /* One in three strikes while the farm still has to do with the one before. */
        if (i > 0 && rng_chance(&rng, 33))
            blow.after_ns = rng_between(&rng, 1, rng_chance(&rng, 50) ? 4000 : 200) * NS_PER_MS;
        add(plan, blow);
    }
}

void plan_restarts(struct plan *plan, uint64_t seed, uint64_t tasks)
{
    struct rng rng = begin(plan, seed, 2);
    uint64_t tenth = tasks / 10;
    add(plan, (struct blow){.role = SINK, .at_ran = rng_between(&rng, 2 * tenth, 4 * tenth)});
    add(plan, (struct blow){.role = VENTILATOR, .at_ran = rng_between(&rng, 5 * tenth, 8 * tenth)});
}

void plan_freeze(struct plan *plan, uint64_t seed, uint64_t tasks, enum role role,
                 uint64_t freeze_ns)
{
    struct rng rng = begin(plan, seed, 3);
    add(plan, (struct blow){.role = role,
                            .at_ran = rng_between(&rng, tasks / 50, tasks / 10),
                            .freeze_ns = freeze_ns,
                            .with_children = role >= WORKER_ONE && rng_chance(&rng, 50)});
}
