/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_READING_H
#define ZFARM_READING_H

#include "ventilator/core/session.h"

struct dispatcher;

/* Whether input may be read. It owns struct input_reading, and decides by the sink, the queue and the ledger.
 * dispatcher.c, recall and explain call it; it calls audit. */

struct input_reading {
    char *name;
    struct buf batch;       /* that is being filled */
    struct session *target; /* for which it is */
    bool asked;             /* tasks were asked for */
    bool dry;               /* and there were none */
    uint64_t dry_from_ns;   /* since when */
    bool ended;
    uint64_t looks; /* enum status_flag */
};

bool reading_may(const struct dispatcher *d);     /* if a worker would take tasks */
bool reading_is_full(const struct dispatcher *d); /* of tasks that are not stored */

#endif
