/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SIM_ERR_H
#define ZFARM_SIM_ERR_H

#include "tests/sim/cable.h"

/* Workers that err for a while: what a sound core sends is spoilt on its way out. */
enum err {
    ERR_TRAILING_OCTET, /* behind a RESULTS */
    ERR_TASK_ZERO,
    ERR_WRONG_JOB,       /* in the head of a RESULTS */
    ERR_NO_RESULTS,      /* FINISHED is said, and they are not sent */
    ERR_SOME_RESULTS,    /* half of them are not */
    ERR_NO_RETURNED,     /* RECALL is not answered */
    ERR_OLD_INCARNATION, /* in the head of what is said on control */
    ERR_SENSELESS_JOIN,
    ERR_STRANGE_RESULTS, /* of tasks that nobody was handed; where the sink is strict */
    ERR_WAYS
};

/* Whether the sink of this run takes only results of tasks that their worker was handed. */
bool err_sink_is_strict(const struct sim *sim);
const char *err_name(enum err err);
/* Takes over the hold; returns what is sent instead, or NULL. */
struct block *err_spoil(struct node *worker, struct block *block);

#endif
