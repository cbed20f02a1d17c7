/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_INTAKE_H
#define ZFARM_INTAKE_H

#include "sink/core/ahead.h"
#include "sink/core/collector.h"
#include "sink/core/halting.h"
#include "sink/core/handed.h"
#include "sink/core/marks.h"
#include "sink/core/senders.h"

/* Which results the collector takes in, and which of them are stored.
 *
 *     RESULTS, PIECE, VERDICT --> accepted --> marked with a position --> stored --> news
 *
 * The first final result of a task is accepted, later ones are dropped and counted. `news` is what
 * the ventilator is to be told: what became stored, and what came again after it was; the caller that tells
 * it clears it. */
enum {
    INTAKE_VERDICT_TASKS_MAX = 1 << 20, /* of one message: no ventilator has more tasks unstored */
    INTAKE_PIECES_MEMORY_MAX = 64 << 10
};

struct intake {
    void *context;
    void (*accept)(void *context, const struct result *result);
    struct job_counts *counts;
    struct halting *halting; /* told of each final result that counts */
    const char *tmpdir;
    struct senders senders;
    bool is_strict;       /* only results of tasks that their session was handed are taken */
    struct handed handed; /* if so */
    uint64_t incarnation; /* of the ventilator, whose sessions those are */
    size_t early_max_bytes;
    struct seqset accepted; /* with a final result; stored ones too */
    struct seqset stored;
    struct seqset news;
    struct marks marks; /* of what is accepted and not stored */
    struct ahead ahead;
    uint64_t last; /* task of the input; UINT64_MAX: the ventilator has not told it */
    struct seqset
        beyond;  /* final results of tasks behind it that were not taken; the caller clears it */
    bool closed; /* nothing is accepted any more */
    bool moved;  /* something was accepted or became stored; the reader clears it */
    /* Pieces for which the temporary file has no room, until intake_retry finds some. */
    struct block **stalled;
    size_t stalled_count;
    size_t stalled_capacity;
    struct why stalled_why;
};

void intake_init(struct intake *in, const struct collector_options *options,
                 struct job_counts *counts, struct halting *halting);
void intake_free(struct intake *in);

/* Each returns ERR_NONE, or an error if the message is to be dropped and counted; then nothing of
 * it was accepted. Of results they take the whole message, since it may have to wait. */
enum error intake_results(struct intake *in, struct bytes message, uint64_t now_ns);
enum error intake_piece(struct intake *in, struct bytes message, uint64_t now_ns);
enum error intake_verdict(struct intake *in, const struct frame_head *head, struct bytes body);
/* Which octet of a message of results is where it stops making sense. */
size_t intake_fault(struct bytes message);
void intake_retry(struct intake *in);
/* A session of the ventilator begins, in this life of it: all that is stored is news to it. */
void intake_begin_session(struct intake *in, uint64_t incarnation, bool is_another_life);

/* HANDED: what waited for it is taken. */
void intake_handed(struct intake *in, const struct session_tasks *m);
/* What the session was handed (0: all of them) is known as it was at `before_ns`: takes out the next message of it
 * that has come before and waits, and takes of it what is named. The rest, which is dropped, is in `strange` if its
 * sender can be called to account for it; the caller frees that. Returns false if no such message waits. */
bool intake_decide(struct intake *in, uint64_t session, uint64_t before_ns,
                   struct session_tasks *strange);
/* The ventilator has read so many tasks; `is_all`: the input has no more, so what is behind its end counts as
 * strange, whenever it came. */
void intake_read(struct intake *in, uint64_t tasks, bool is_all);
bool intake_waits_enough(const struct intake *in); /* no more results can wait */

void intake_mark(struct intake *in, uint64_t position_bytes);
void intake_reached(struct intake *in, uint64_t position_bytes);

#endif
