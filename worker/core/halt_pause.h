/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_HALT_PAUSE_H
#define ZFARM_HALT_PAUSE_H

#include <stdbool.h>

#include "common/base/clock.h"
#include "common/wire/halt_rule.h"
#include "common/wire/result.h"

/* --halt with a count of 1, of which this worker sees the first result: then it begins nothing more, and the
 * ventilator ends the job. Unless that result is not the one that counts: then it is released, the job goes on, and so
 * does this worker a while later.
 * It owns the rule and that result's number, and decides whether tasks may begin. The core's work tells it of results.
 * Zero-initialised it never pauses; embed it by value. */
struct halt_pause {
    struct halt_rule rule; /* of WELCOME */
    uint64_t seq;          /* of the result that did it; 0: none */
    uint64_t until_ns;     /* NEVER while the result is kept */
};

/* One result of this worker may halt the job: its tasks begin one by one. */
bool halt_pause_at_one(const struct halt_pause *h);
void halt_pause_result(struct halt_pause *h, const struct result *r);
bool halt_pause_is_on(const struct halt_pause *h);
/* It ends `heartbeat_ns` after its result `is_kept` no more. */
void halt_pause_turn(struct halt_pause *h, bool is_kept, uint64_t heartbeat_ns, uint64_t now_ns);
uint64_t halt_pause_deadline(const struct halt_pause *h);

#endif
