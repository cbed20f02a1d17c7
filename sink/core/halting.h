/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_HALTING_H
#define ZFARM_HALTING_H

#include "common/wire/halt_rule.h"
#include "common/wire/wire.h"

/* Whether the final results so far end the job early (--halt), and the status that it then ends
 * with. What a store has from before is not counted: the same command goes on with what was not run.
 *
 * A percentage is one of all tasks. How many these are is known from the start for :::, and otherwise
 * when the input has been read to its end, for which the ventilator reads ahead as far as --queue-max
 * allows; until then a percentage halts nothing. Statuses are those
 * of GNU parallel. Embed it by value; starts as {.rule = ...}. */
struct halting {
    struct halt_rule rule;
    struct halt fired; /* when is HALT_NEVER: it has not */
    bool is_told;      /* to the ventilator, in this session */
    uint64_t ok, failed;
    uint64_t
        last_seq; /* of what the rule counts, the last one, and its status as a shell tells it */
    unsigned last_status;
};

/* A final result, each task's once. `total` is the number of all tasks, 0 if it is not known. */
void halting_result(struct halting *h, const struct result *r, uint64_t total);
void halting_total(struct halting *h, uint64_t total); /* it is known now */

/* The status of a job that nothing halted, of which so many are ok and so many not: how many are not,
 * 101 for more than 100; if the rule is a percentage, their percentage. */
int halting_status(const struct halting *h, uint64_t ok, uint64_t bad);

#endif
