/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SLOTS_RIG_H
#define ZFARM_SLOTS_RIG_H

#include <criterion/criterion.h>

#include "common/base/clock.h"
#include "worker/core/slots.h"

/* Tests of the worker's core as stories: the ventilator (v_...) says something, tasks end (x_...),
 * time passes, and rig_expect compares all that the core answered since the last time, in words
 * such as
 *
 *     "lane- control-; control+ JOIN run=1 kept=2-3 of=7; START 0:4-5 FINISHED 4 RESULTS 1/1 4"
 *
 * HEARTBEAT and CREDIT are left out unless a test looks at them: they have their own time. */
struct rig {
    struct slots *s;
    struct slots_options options;
    uint64_t now_ns;
    uint64_t incarnation;
    uint64_t session; /* the last that was given */
    uint64_t batch;   /* the lane's last */
    struct buf said;
    bool show_beats;
    bool show_credit;
    uint64_t stuck_ms;     /* as the last heartbeat said */
    uint64_t unusable;     /* the same */
    struct credit credit;  /* as told last */
    size_t credits;        /* how often */
    size_t messages;       /* on control */
    struct block *results; /* the last that was sent */
    struct why why;        /* of EXIT */
};

enum { JOB = 77 };

void rig_begin(struct rig *r); /* set options before rig_start */
void rig_start(struct rig *r);
void rig_end(struct rig *r);
/* A turn of the shell; what the core wants is noted. */
void rig_turn(struct rig *r);
/* Time passes: a turn at each of the core's deadlines. */
void rig_pass(struct rig *r, uint64_t ns);
void rig_expect(struct rig *r, const char *words);
void rig_forget(struct rig *r); /* what was said so far is of no interest */

/* Start, JOIN, WELCOME, HELLO, CLAIM, and the results connection: nothing of it is to be expected.
 */
/* The results connection, opened in a turn, is up. */
void rig_results_up(struct rig *r);
void rig_join(struct rig *r);
void rig_rejoin(struct rig *r); /* from AWAY, with a new session */

void v_says(struct rig *r, enum wire_kind kind, struct buf *body); /* in the session */
void v_says_number(struct rig *r, enum wire_kind kind, uint64_t number);
void v_again(struct rig *r, uint64_t session);
void v_welcome(struct rig *r, struct worker_welcome m); /* fields that are 0 get usual values */
void v_refuse(struct rig *r, uint64_t reason, const char *sentence);
void v_heartbeat(struct rig *r, uint64_t session);
void v_hello(struct rig *r);
void v_tasks(struct rig *r, uint64_t first, uint64_t count, uint64_t flags); /* attempts 1 */
void v_end(struct rig *r);
void v_released(struct rig *r, uint64_t first, uint64_t last);
void v_cancel(struct rig *r, uint64_t seq, uint64_t batch);
void v_sink(struct rig *r, uint64_t epoch, const char *endpoint);
void v_received(struct rig *r, uint64_t batch, uint64_t offset, uint64_t flags);
void v_stop(struct rig *r, uint64_t reason);

void x_ends(struct rig *r, unsigned slot, uint64_t seq, enum result_status status,
            const char *output);
/* The tasks first .. first + count - 1 end together, the first `failed` of them not ok. */
void x_run_ends(struct rig *r, unsigned slot, uint64_t first, uint32_t count, uint32_t failed,
                uint64_t wants);
void x_ok(struct rig *r, unsigned slot, uint64_t seq);
/* It was ended by a signal, or (`status` above 128) handled it and said so. */
void x_signaled(struct rig *r, unsigned slot, uint64_t seq, unsigned number);
void x_exits(struct rig *r, unsigned slot, uint64_t seq, unsigned status);
void x_fails(struct rig *r, unsigned slot, uint64_t seq);

#endif
