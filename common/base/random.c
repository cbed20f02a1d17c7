/* SPDX-License-Identifier: MPL-2.0 */
#include "common/base/random.h"

#include <sys/random.h>

#include "common/base/clock.h"

uint64_t random_u64(void)
{
    uint64_t number = 0;
    while (number == 0)
        if (getrandom(&number, sizeof number, 0) != sizeof number)
            number = clock_realtime_us();
    return number;
}
