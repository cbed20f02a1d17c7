/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/stall.h"

#include "tests/sim/cable.h"

/* Limits are doubled in vain, and tasks that were promised are waited for: then who idles is judged again. */
#define RECOVERY_NS (130 * NS_PER_S)

enum { TOWARDS = 1, AWAY = 2, BOTH = 3 };

static const char *const kind_names[CABLE_KINDS] = {
    [CABLE_CONTROL] = "control", [CABLE_LANE] = "lane", [CABLE_RESULTS] = "results"};
static const char *const direction_names[] = {
    [TOWARDS] = "towards it", [AWAY] = "away from it", [BOTH] = "both ways"};

static uint64_t some_end(struct sim *sim, bool may_last)
{
    if (may_last && rng_chance(&sim->fate, 50))
        return NEVER;
    return sim->now_ns + rng_between(&sim->fate, 1 * NS_PER_S, 20 * NS_PER_S);
}

static void note(struct sim *sim, const struct node *node, enum cable_kind kind, const char *what,
                 uint64_t until_ns)
{
    uint64_t lasts_ns = until_ns == NEVER ? 0 : until_ns - sim->now_ns;
    sim_disturb(sim, lasts_ns + RECOVERY_NS);
    if (until_ns == NEVER)
        sim_trace(sim, node, "%s stalls for ever, %s", kind_names[kind], what);
    else
        sim_trace(sim, node, "%s stalls for %.3f s, %s", kind_names[kind], (double)lasts_ns / 1e9,
                  what);
}

static unsigned some_directions(struct sim *sim)
{
    return rng_chance(&sim->fate, 50) ? BOTH : rng_chance(&sim->fate, 50) ? TOWARDS : AWAY;
}

void stall_connection(struct sim *sim, struct cable *c)
{
    unsigned directions = some_directions(sim);
    uint64_t until_ns = some_end(sim, true);
    note(sim, c->ends[0].node, c->kind, direction_names[directions], until_ns);
    for (unsigned i = 0; i < 2; i++)
        if (directions >> i & 1 && c->ends[i].hold_ns < until_ns)
            c->ends[i].hold_ns = until_ns;
}

void stall_way(struct sim *sim, struct node *node, enum cable_kind kind, bool may_last)
{
    unsigned directions = some_directions(sim);
    uint64_t until_ns = some_end(sim, may_last);
    note(sim, node, kind, direction_names[directions], until_ns);
    for (unsigned i = 0; i < 2; i++)
        if (directions >> i & 1)
            node->ways[kind].stalled_until_ns[i] = until_ns;
}

void stall_large(struct sim *sim, struct node *node, enum cable_kind kind, bool may_last)
{
    struct way *way = &node->ways[kind];
    way->large_max =
        (size_t)(rng_chance(&sim->fate, 50) ? rng_between(&sim->fate, 200, 2000)
                                            : rng_between(&sim->fate, 17 << 10, 60 << 10));
    way->large_until_ns = some_end(sim, may_last);
    note(sim, node, kind, "for large messages", way->large_until_ns);
    sim_trace(sim, node, "of more than %zu bytes", way->large_max);
}

void stall_end(struct node *node, bool all)
{
    uint64_t now_ns = node->sim->now_ns;
    for (unsigned kind = 0; kind < CABLE_KINDS; kind++) {
        struct way *way = &node->ways[kind];
        for (unsigned i = 0; i < 2; i++)
            if (all || way->stalled_until_ns[i] != NEVER)
                way->stalled_until_ns[i] = 0;
        if (way->large_max && (all || way->large_until_ns != NEVER))
            way->large_max = 0;
        if (way->large_until_ns != NEVER && way->large_until_ns > now_ns)
            way->large_until_ns = now_ns;
    }
}

bool stall_is_for_ever(const struct node *node)
{
    for (unsigned kind = 0; kind < CABLE_KINDS; kind++) {
        const struct way *way = &node->ways[kind];
        if (way->stalled_until_ns[0] == NEVER || way->stalled_until_ns[1] == NEVER ||
            (way->large_max && way->large_until_ns == NEVER))
            return true;
    }
    return false;
}
