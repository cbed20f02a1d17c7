/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_WORKER_LANE_H
#define ZFARM_WORKER_LANE_H

#include "common/wire/pieces.h"
#include "worker/core/backlog.h"
#include "worker/core/told_endpoint.h"

/* The lane of the session: what has come on it, what was told of that, a task whose pieces are coming, and
 * cancellations that came before their tasks. It owns these; it decides nothing but what fits together. lane_inbox.c
 * fills it, session.c opens and ends it. It calls pieces.h and backlog.h. Zero-initialised is empty; embed it by
 * value. */
struct worker_lane {
    char endpoint[ENDPOINT_MAX];
    bool accepted; /* the other end has accepted the connection */
    uint64_t accepted_ns;
    bool ended;        /* nothing more will come */
    uint64_t batch;    /* the last that came */
    uint64_t offset;   /* bytes of pieces that came */
    uint64_t received; /* tasks of this session, and their bytes */
    uint64_t received_bytes;
    struct credit told;        /* the CREDIT that was sent last */
    struct pieces pieces;      /* of the task that comes in pieces */
    struct block *whole;       /* that task's record, when all have come; else NULL */
    struct cancel_item *early; /* cancellations that overtook the lane */
    size_t early_count;
    size_t early_capacity;
};

void worker_lane_free(struct worker_lane *l);
/* The session is over: what has come counts no more. */
void worker_lane_reset(struct worker_lane *l);
/* Nothing more of the task in pieces will come. */
void worker_lane_drop_pieces(struct worker_lane *l);

/* A cancellation of a task that has not come. False: there are too many, and it is dropped. */
bool worker_lane_remember(struct worker_lane *l, const struct cancel_item *item);
/* The lane has reached `batch`: what was cancelled before it came is taken out of the backlog. */
void worker_lane_reached(struct worker_lane *l, uint64_t batch, struct backlog *backlog);

/* The next piece of a task's record, which goes to a file in `tmpdir` when it is large. ERR_DISK_FULL, ERR_IO: there is
 * no room for it, `why` says where; else the piece makes no sense. */
enum error worker_lane_add_piece(struct worker_lane *l, const struct piece *m, const char *tmpdir,
                                 struct why *why);
/* The record that has come in pieces becomes that of the run's task. False: it is of another, or makes no sense. */
bool worker_lane_whole(const struct worker_lane *l, uint64_t incarnation, struct task_run *run);

#endif
