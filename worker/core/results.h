/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_RESULTS_H
#define ZFARM_RESULTS_H

#include "worker/core/kept.h"
#include "worker/core/large.h"
#include "worker/core/report.h"

/* The results that a worker has and that are not released: small ones in batches, large ones by themselves.
 * It owns both and decides which way a result travels, how large frames are, and when there are so many that no more
 * tasks are asked for. The core's work adds to it, the results connection sends from it, the inbox releases. It calls
 * kept.h and large.h. Embed it by value. */
struct results {
    struct kept kept;
    struct large large;
    uint64_t max_bytes; /* in memory, above which no more tasks are asked for */
    bool is_careful;    /* frames are small: a connection was given up for silence */
};

void results_init(struct results *r, struct bytes worker,
                  uint64_t max_bytes); /* `worker` outlives it */
void results_free(struct results *r);

uint64_t results_count(const struct results *r); /* final ones */
uint64_t results_bytes(const struct results *r); /* in memory */
bool results_full(const struct results *r);
bool results_empty(const struct results *r);
/* A final result of a task among first..last is here. */
bool results_have(const struct results *r, uint64_t first, uint64_t last);
void results_list(const struct results *r, struct seqset *tasks);

/* Takes the result over, with the files of `out` and `err`. `block`: in which the task is, large itself, or NULL. What
 * can be sent at once is closed, and told to the report. */
void results_put(struct results *r, struct result *result, const struct output *out,
                 const struct output *err, struct block *block, struct report *report);
void results_put_run(struct results *r, const struct result_run *run, size_t failed,
                     struct report *report);
/* Closes the open batch: it is to be sent next, and the report tells of it. */
void results_close(struct results *r, struct report *report);
/* The sink's way of large results is slow or gone: the report tells of them before all of them is sent. */
void results_report_large(struct results *r, struct report *report);

uint64_t results_release(struct results *r, const struct seqset *tasks); /* how many that frees */
void results_drop(struct results *r); /* the job is another one, or over */

void results_send_again(struct results *r); /* all, from the first on */
/* The same, numbered anew. History of batches up to `arrived` is not sent again. */
void results_begin_session(struct results *r, uint64_t arrived);
/* Another sink: nothing is known of the way there. */
void results_usual_frames(struct results *r);

#endif
