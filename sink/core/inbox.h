/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SINK_INBOX_H
#define ZFARM_SINK_INBOX_H

#include "sink/core/ending.h"
#include "sink/core/notes.h"

/* What the ventilator says to the sink: each message is read, and the part that it is for is told.
 * Owns: whose results are admitted, whether the job has begun. Decides: whether a message makes sense now, what WELCOME
 * and DONE mean for the whole. Called by: collector.c. Calls: the parts that it points to, which are the collector's,
 * and the shell's begin_life, strange and hashes. */
struct inbox {
    const struct collector_options *options;
    struct job_counts *counts;
    struct uplink *uplink;
    struct intake *intake;
    struct ending *ending;
    struct halting *halting;
    struct notes *notes;
    const struct backpressure *backpressure;
    struct admitted admitted; /* workers, as the ventilator told last */
    bool has_admitted;        /* it has told */
    bool has_begun;           /* BEGIN was said */
    uint64_t welcomed_ns;     /* when a session began last */
};

void inbox_free(struct inbox *in);
/* This process was late by `own_ns` itself. An error is that of a message to be dropped and counted. */
enum error inbox_read(struct inbox *in, struct bytes message, uint64_t own_ns, uint64_t now_ns);

#endif
