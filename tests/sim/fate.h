/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SIM_FATE_H
#define ZFARM_SIM_FATE_H

#include "tests/sim/node.h"

/* What goes wrong, and that it stops going wrong. */
void fate_begin(struct sim *sim);
/* Kills the worker; as a rule, and always when the faults are over, it is started again. */
/* With a store whoever started them all ends the ventilator, too, some seconds later. */
void fate_sink_ended(struct sim *sim);
void fate_kill_worker(struct node *worker, bool silent);

#endif
