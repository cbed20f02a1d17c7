/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/scheduling.h"

#include <linux/sched.h>
#include <linux/sched/types.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/clock.h"

#define SLICE_NS (100 * NS_PER_US) /* the least that the kernel takes */

void scheduling_run_soon(void)
{
    struct sched_attr attributes = {.size = sizeof attributes,
                                    .sched_policy = SCHED_NORMAL,
                                    .sched_flags = SCHED_FLAG_RESET_ON_FORK,
                                    .sched_nice = getpriority(PRIO_PROCESS, 0), /* as it is */
                                    .sched_runtime = SLICE_NS};
    syscall(SYS_sched_setattr, 0, &attributes, 0); /* where it fails all is as it was */
}
