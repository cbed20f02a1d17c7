/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SIM_MODEL_H
#define ZFARM_SIM_MODEL_H

#include "common/wire/result.h"
#include "common/base/seqset.h"
#include "tests/sim/plan.h"

/* What the farm promised, kept apart from how it does it: for each task what has really happened to
 * it, and so which final result it may have. It knows plan, runs and deaths, no protocol.
 *
 * What returns a sentence returns NULL when all is well. */
struct truth {
    unsigned runs;
    unsigned running;   /* now */
    unsigned good_runs; /* that ended so, as the executor saw it */
    unsigned bad_runs;
    unsigned kills;       /* of workers by this task */
    unsigned deaths;      /* of workers that had it */
    unsigned interrupted; /* runs, by whoever preempted the worker: no failure, and no death */
    unsigned finals;
    enum result_status status; /* of the final result */
};

struct model {
    const struct plan *plan;
    struct truth *truths;
    uint64_t read;        /* tasks that the source has given */
    struct seqset stored; /* the output has them */
    uint64_t ok, failed, lost;
    uint64_t innocent; /* of the lost: those that kill nobody */
    bool disturbed;    /* something went wrong with the farm itself */
    char sentence[256];
};

void model_init(struct model *model, const struct plan *plan);
void model_free(struct model *model);

/* How the run that begins now ends. */
enum run_end { RUN_GOOD, RUN_BAD, RUN_KILLS_SLOT, RUN_KILLS_WORKER, RUN_INTERRUPTED };
enum run_end model_begin_run(struct model *model, uint64_t seq);
void model_end_run(struct model *model, uint64_t seq, enum run_end end);
void model_kill_run(struct model *model, uint64_t seq); /* instead: it was cancelled */
/* A worker that had these tasks is dead, or was away for as long as if it were. */
void model_death(struct model *model, const struct seqset *had);

/* Whether as many run now as may. */
const char *model_company(struct model *model, uint64_t seq);
const char *model_accept(struct model *model, const struct result *result);
/* The store has lost the final result of the task; it is as if it had never come. */
void model_forget(struct model *model, uint64_t seq);
/* The job is over, and was not interrupted. */
const char *model_end(struct model *model);
int model_status(const struct model *model); /* of the job */

#endif
