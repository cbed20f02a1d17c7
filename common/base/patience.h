/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_PATIENCE_H
#define ZFARM_PATIENCE_H

#include <stdint.h>

/* How long a peer may be silent (docs/protocol.md, 18): one rule for the ventilator, the workers and the sink.
 *
 * The limit is what the ventilator tells. It is meant for a farm whose answers come at once. Where they come late,
 * since a machine or a network has more to do than it can, a peer that is slow looks like a dead one: so the limit is
 * longer there, by four times the longest lateness of the last seconds. Only an answer that did come counts as late:
 * where there is none at all, the limit stays as it is, and a dead peer is noticed.
 *
 * A newcomer knows no lateness. Each attempt of it that gets no answer, though it was not refused, is waited for
 * twice as long as the one before.
 *
 * Embed it by value; zero-initialised, nothing was late. Nothing is longer than PATIENCE_MOST limits. */
enum { PATIENCE_MOST = 10 };

struct patience {
    uint64_t late_ns;    /* the longest lateness; it fades */
    uint64_t attempt_ns; /* for so long the last attempt waited in vain; 0: it was answered */
};

/* An answer has come, later than it was due by `late_ns`; of that, the judge itself was late by `own_ns`, which says
 * nothing of its peer. */
void patience_late(struct patience *p, uint64_t late_ns, uint64_t own_ns);
/* A heartbeat has come: what was late before counts for less. */
void patience_fade(struct patience *p);
/* How long a peer that answered before may be silent. */
uint64_t patience_limit(const struct patience *p, uint64_t limit_ns);

/* How long the next attempt is waited for. */
uint64_t patience_attempt(const struct patience *p, uint64_t limit_ns);
void patience_in_vain(struct patience *p, uint64_t limit_ns); /* it was not answered in that time */
void patience_answered(struct patience *p);                   /* it was */

/* How long a way may stand still on which something is under way: twice the longest that it has lately stood still
 * and then gone on, which falls again by and by. Something has moved after `took_ns`: `*limit_ns` is brought up to
 * date; 0 is a good beginning. */
void patience_moved(uint64_t *limit_ns, uint64_t took_ns);

#endif
