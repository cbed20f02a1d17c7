/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_GUARD_ORDER_H
#define ZFARM_GUARD_ORDER_H

#include <stdint.h>

/* What goes through the pipe from a worker (guard.c) to its guard (guard_main.c): a process group
 * that was made, the same negated when it is gone, or goodbye. */
typedef int32_t guard_order;

#define GUARD_GOODBYE 0

/* After reading orders the guard looks at nothing but the pipe's end for so long: a worker that
 * runs thousands of tasks a second does not wake it for each. */
enum { GUARD_NAP_MS = 100 };

#endif
