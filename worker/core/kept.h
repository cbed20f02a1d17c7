/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_KEPT_H
#define ZFARM_KEPT_H

#include "common/base/block.h"
#include "worker/core/batch.h"

/* The results that a worker keeps until they are released: batches as they were sent, to be sent
 * again, and the one that is being put together.
 *
 * A batch is freed when RELEASED has named every final result in it. One with history only (failed
 * attempts that will be tried again) is sent once and then freed. Batches are numbered from 1 in
 * each session and keep their number in it. */
struct kept_batch {
    struct buf message;  /* until it is sent first */
    struct block *block; /* from then on */
    struct frame_head head;
    uint64_t number;
    uint64_t floor;
    struct seqset tasks; /* final results that are not released */
    size_t results;      /* in it */
    size_t finals;       /* of these */
    size_t size_bytes;
    bool history; /* has no final result at all */
};

struct kept {
    struct bytes worker; /* its name */
    struct batch open;
    struct kept_batch *batches; /* oldest first, with growing numbers */
    size_t begin;
    size_t end;
    size_t capacity;
    size_t next;         /* the first that is to be sent; `end` if none */
    uint64_t number;     /* the last that was given */
    struct seqset tasks; /* all that is in closed runs and not released */
    uint64_t size_bytes; /* of closed batches, with what it costs to hold them */
    size_t batch_max;    /* bytes in a batch, from which on it is full */
};

enum { KEPT_OVERHEAD_BYTES = 256 }; /* of a batch */

/* `worker` must outlive it. */
void kept_init(struct kept *k, struct bytes worker);
void kept_free(struct kept *k);

/* A final result of a task among first..last is kept, or about to be. */
bool kept_has(const struct kept *k, uint64_t first, uint64_t last);
uint64_t kept_size_bytes(const struct kept *k);
bool kept_empty(const struct kept *k); /* nothing kept, nothing to be sent */

/* Appends a result to the open batch; returns true when that is full and wants to be closed. */
bool kept_put(struct kept *k, const struct result *result);
/* The same for a run of results (batch.h). */
bool kept_put_run(struct kept *k, const struct result_run *run, size_t failed);
/* Closes the open batch, if there is anything in it: it is to be sent next. Its tasks that have a
 * final result are added to `finished`, and how many of these are not ok to `failed`. */
void kept_close(struct kept *k, struct seqset *finished, uint64_t *failed);

/* Returns how many results that frees. */
uint64_t kept_release(struct kept *k, const struct seqset *tasks);
void kept_drop(struct kept *k); /* everything: the job is another one, or over */

/* Numbers anew, from 1, and has all sent again. */
void kept_begin_session(struct kept *k);
/* Has all sent again from this number on; 1: all. */
void kept_resend(struct kept *k, uint64_t number);
/* Something was sent and is not released whose batch is above this one. */
bool kept_is_out(const struct kept *k, uint64_t batch);
/* Batches are full from so many bytes on, from now on. What is of no use in a new session is left out: results that are
 * released, and history of batches up to number `arrived`, which has come to where it is for. With `take` batches
 * that are much larger are taken apart: a result that is larger by itself is given to it, and then kept here no
 * more. To be called before kept_begin_session, with nothing in the open batch. */
typedef void kept_take_fn(void *context, const struct result *result);
void kept_take_apart(struct kept *k, size_t batch_max, uint64_t arrived, kept_take_fn *take,
                     void *context);
/* An empty batch, numbered as any other, of which nothing is kept: to see whether it arrives. Nothing may
 * wait to be sent. */
struct block *kept_probe(struct kept *k, struct frame_head head);
/* The next batch to be sent, stamped with `head`, or NULL. The caller releases it. */
struct block *kept_next(struct kept *k, struct frame_head head);

#endif
