/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_FARM_CHECK_H
#define ZFARM_FARM_CHECK_H

#include "ventilator/core/dispatcher_state.h"

/* What must hold of the dispatcher's state between any two events: every task is where it may be, and
 * sessions, stories and homes agree. Aborts with words if it does not: unit tests and fuzzers share it. */
void farm_check_dispatcher(const struct dispatcher *d);

#endif
