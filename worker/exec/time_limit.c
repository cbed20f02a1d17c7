/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/exec/time_limit.h"

#include <assert.h>

/* Below LIMIT_PARTS ns each has its own; above, the upper bits say which. */
static unsigned length_of(uint64_t ns)
{
    if (ns < LIMIT_PARTS)
        return (unsigned)ns;
    unsigned power = 63 - (unsigned)__builtin_clzll(ns);
    return (power - 5) * LIMIT_PARTS + (unsigned)(ns >> (power - 6)) % LIMIT_PARTS;
}

static uint64_t middle_of(unsigned length)
{
    if (length < LIMIT_PARTS)
        return length;
    assert(length < LIMIT_LENGTHS);
    unsigned shift = length / LIMIT_PARTS - 1;
    uint64_t from_ns = (uint64_t)(LIMIT_PARTS + length % LIMIT_PARTS) << shift;
    return from_ns + (UINT64_C(1) << shift) / 2;
}

bool time_limit_note(struct time_limit *l, uint64_t duration_ns)
{
    if (!l->timeout.percent)
        return false;
    uint64_t before_ns = time_limit_ns(l);
    unsigned length = length_of(duration_ns);
    l->counts[length]++;
    l->below += length < l->median;
    uint64_t rank = l->tasks++ / 2; /* of the median, from 0; of an even number the lower one */
    while (l->below > rank)
        l->below -= l->counts[--l->median];
    while (l->below + l->counts[l->median] <= rank)
        l->below += l->counts[l->median++];
    return time_limit_ns(l) != before_ns;
}

uint64_t time_limit_ns(const struct time_limit *l)
{
    if (!l->timeout.percent)
        return l->timeout.ns;
    if (l->tasks < LIMIT_TASKS_MIN)
        return 0;
    double ns = (double)middle_of(l->median) * (double)l->timeout.percent / 100;
    return ns < 1 ? 1 : ns < (double)INT64_MAX ? (uint64_t)ns : INT64_MAX;
}
