/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_NOTES_H
#define ZFARM_NOTES_H

#include "sink/core/backpressure.h"
#include "sink/core/intake.h"
#include "sink/core/uplink.h"

/* The notes to the ventilator (STORED): what is stored, which batches lack, what has arrived, what holds it up.
 * Owns: what the last note said, and when. Decides: when the next one is due, and what fits in it. Called by:
 * collector.c, inbox.c. Calls: uplink.h; takes the news out of intake.h and senders.h, the flags of backpressure.h. */
struct notes {
    uint64_t noted_ns;    /* when the last note was sent */
    uint64_t arrivals_ns; /* when one last said what has arrived */
    uint64_t flags_told;  /* enum stored_flag: what the last one said */
};

/* A session begins. */
void notes_begin(struct notes *n, uint64_t now_ns);
/* There is something that the ventilator waits for. */
bool notes_has_news(const struct notes *n, const struct uplink *u, const struct intake *in,
                    const struct backpressure *b);
/* When the next note is to be sent; NEVER: there is nothing to be told. */
uint64_t notes_due(const struct notes *n, const struct uplink *u, const struct intake *in,
                   const struct backpressure *b);
/* Sends what there is; an empty note if there is nothing. */
void notes_say(struct notes *n, struct uplink *u, struct intake *in, const struct backpressure *b,
               uint64_t now_ns);

#endif
