/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SIM_SUPERVISION_H
#define ZFARM_SIM_SUPERVISION_H

#include "tests/sim/node.h"

/* `zfarm run` around the farm, with the real core (zfarm/run/supervisor.h): it starts the ventilator, the first
 * worker and the sink, one after the other, and again when a signal has killed them; and it can be
 * interrupted at any moment. All other workers are as those that somebody else starts.
 *
 * G8: nobody is started after an interrupt; and when all is to end at once, it has after 5 s. */
struct supervision;

struct supervision *supervision_new(struct sim *sim); /* and starts the ventilator */
void supervision_free(struct supervision *supervision);
bool supervision_has(const struct sim *sim, const struct node *node); /* it is one of the three */
/* The process has ended: by a signal, or by itself with its status. */
void supervision_ended(struct node *node, unsigned signal);
bool supervision_is_over(const struct sim *sim); /* or there is none */
void supervision_interrupt(struct sim *sim);

#endif
