/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_REPORTS_H
#define ZFARM_REPORTS_H

#include "worker/core/slots.h"

/* What the ventilator is told of tasks: finished, failed, given back; and how many more are asked for.
 * It decides when a report and a credit are sent (report.h, credit.h say when they are due). The turn calls it, and
 * what gives tasks back. It says all by session.h. */

/* True if there was something to tell. */
bool reports_send(struct slots *s, uint64_t now_ns);
void reports_credit(struct slots *s, bool in_passing); /* next to a report */
/* Returns the unstarted tasks, `max` at most; says so even if there are none. */
void reports_return(struct slots *s, uint64_t max, enum returned_reason reason);
enum returned_reason reports_return_reason(const struct slots *s);
void reports_interrupted(struct slots *s); /* says which tasks were begun and are given back */
uint64_t reports_deadline(const struct slots *s);

#endif
