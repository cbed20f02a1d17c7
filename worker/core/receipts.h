/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_RECEIPTS_H
#define ZFARM_RECEIPTS_H

#include "worker/core/results.h"

/* Whether results arrive at the sink, by what the sink has received of this session (docs/protocol.md, 18): what the
 * kernel has taken says nothing.
 * It owns what was received and since when nothing has been, and decides when a way is silent and how long it may be.
 * The results connection (outlet.h) tells it and asks it. It calls nothing but patience.h. Embed it by value. */
struct receipts {
    bool told;            /* what follows, in this session */
    bool reads;           /* the sink takes results at present, and is heard */
    uint64_t batch;       /* the highest that it has received */
    uint64_t offset;      /* bytes of pieces that it has received */
    uint64_t sent_offset; /* bytes of pieces that were sent */
    uint64_t probe;       /* the empty batch that was sent last; 0: none */
    uint64_t moved_ns;    /* when something last arrived there, or nothing was under way */
    uint64_t limit_ns;    /* for so long nothing may arrive; 0: the usual limit */
    uint64_t usual_ns;    /* twice what has lately been the longest time without movement */
    uint64_t
        stuck_ns; /* since when nothing has, since the connection was given up for that; else NEVER */
};

void receipts_init(struct receipts *r, uint64_t now_ns);
void receipts_other_sink(struct receipts *r);
void receipts_begin_session(struct receipts *r, uint64_t now_ns);
void receipts_send_again(struct receipts *r); /* all that was sent is sent again */
/* The sink has received so much. True: more than was known. */
bool receipts_received(struct receipts *r, const struct received *m);
/* More has arrived. True: for the first time since it was stuck. */
bool receipts_moved(struct receipts *r, uint64_t now_ns);
/* The connection is given up: the next may be silent for twice as long, `most_ns` at most. */
void receipts_give_up(struct receipts *r, uint64_t usual_ns, uint64_t most_ns);

/* Something was sent that has not been received. */
bool receipts_is_under_way(const struct receipts *r, const struct results *results);
/* For so long nothing may arrive; `usual_ns`: how long the ventilator may be silent. */
uint64_t receipts_limit(const struct receipts *r, uint64_t usual_ns);
/* By how much longer than elsewhere it takes before something is amiss on this way: what takes as long as it lately
 * took is not. */
uint64_t receipts_slowness(const struct receipts *r, uint64_t usual_ns);

#endif
