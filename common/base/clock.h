/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_CLOCK_H
#define ZFARM_CLOCK_H

#include <stdint.h>

/* Time inside zfarm is one type: nanoseconds of the monotonic clock. Shells read it once a turn and
 * hand it to the cores, which never read a clock. */
#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)
#define NEVER UINT64_MAX

uint64_t clock_now_ns(void); /* CLOCK_MONOTONIC */
/* The same as of the kernel's last tick: much cheaper, and up to clock_coarse_late_ns behind. */
uint64_t clock_coarse_ns(void);
uint64_t clock_coarse_late_ns(void);
uint64_t
clock_realtime_us(void); /* microseconds since 1970, for what users read and incarnations */

/* NEVER is later than all else. */
static inline uint64_t clock_earlier(uint64_t a_ns, uint64_t b_ns)
{
    return a_ns < b_ns ? a_ns : b_ns;
}

#endif
