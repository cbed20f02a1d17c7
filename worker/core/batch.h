/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_BATCH_H
#define ZFARM_BATCH_H

#include "common/wire/wire.h"

/* A RESULTS message that is being put together: each result is appended once, to where it will be
 * sent from. What stands before the results (the message's head, and that of each run) has room of
 * fixed width and is filled in when it is known. */
struct batch {
    struct buf message;
    size_t results;
    size_t failed; /* final ones that are not ok */
    struct seqset
        tasks; /* that have a final result in it; of the run that is still open when closed */
    bool in_run;
    bool run_final;
    size_t run_at;         /* where the open run begins */
    struct result_run run; /* the open run; `records` is not used */
};

void batch_free(struct batch *b);
/* Appends a result. `worker` is the same for all. Results of one attempt number with consecutive
 * task numbers become one run. */
void batch_put(struct batch *b, struct bytes worker, const struct result *result);
/* Appends results that were put together elsewhere: `run` says of which tasks and attempt, all of
 * them are final, and `failed` of them not ok. */
void batch_put_run(struct batch *b, struct bytes worker, const struct result_run *run,
                   size_t failed);
/* The final result of a task among first..last is in the run that is still open. */
bool batch_has_open(const struct batch *b, uint64_t first, uint64_t last);
/* Ends the open run. The message lacks only its head then. */
void batch_close(struct batch *b);
/* Fills in the head of a closed message. */
void batch_head_write(struct buf *message, struct frame_head head, uint64_t number, uint64_t floor);

#endif
