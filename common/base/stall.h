/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_STALL_H
#define ZFARM_STALL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/clock.h"

/* When a program says what it waits for: after nothing moved for STALL_FIRST_NS, then again every
 * STALL_AGAIN_NS until something moves. Zero-initialised; embed it by value. */
#define STALL_FIRST_NS (5 * NS_PER_S)
#define STALL_AGAIN_NS (60 * NS_PER_S)

struct stall {
    uint64_t moved_at_ns; /* as it was when it was said last */
    uint64_t said_at_ns;
};

/* True when it is to be said now; it is taken for said then. */
bool stall_due(struct stall *stall, uint64_t moved_at_ns, uint64_t now_ns);
/* When stall_due must be asked next. */
uint64_t stall_deadline(const struct stall *stall, uint64_t moved_at_ns);

#endif
