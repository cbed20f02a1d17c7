/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_EVENTUALLY_H
#define ZFARM_EVENTUALLY_H

#include <criterion/criterion.h>
#include <poll.h>

#include "common/base/clock.h"

/* Waits until `condition` holds, looking again every millisecond, and fails the test after ten
 * seconds. `condition` may do work each time: take a turn, receive a message. */
#define eventually(condition)                                                                      \
    do {                                                                                           \
        uint64_t eventually_end_ns = clock_now_ns() + 10 * NS_PER_S;                               \
        while (!(condition)) {                                                                     \
            cr_assert_lt(clock_now_ns(), eventually_end_ns, "waited in vain for: %s", #condition); \
            poll(NULL, 0, 1);                                                                      \
        }                                                                                          \
    } while (0)

#endif
