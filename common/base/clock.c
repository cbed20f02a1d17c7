/* SPDX-License-Identifier: MPL-2.0 */
#include "common/base/clock.h"

#include <time.h>

static uint64_t in_ns(struct timespec t)
{
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t clock_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return in_ns(t);
}

uint64_t clock_coarse_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return in_ns(t);
}

uint64_t clock_coarse_late_ns(void)
{
    struct timespec t;
    clock_getres(CLOCK_MONOTONIC_COARSE, &t);
    return in_ns(t);
}

uint64_t clock_realtime_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000) + (uint64_t)t.tv_nsec / NS_PER_US;
}
