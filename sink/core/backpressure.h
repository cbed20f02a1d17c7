/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_BACKPRESSURE_H
#define ZFARM_BACKPRESSURE_H

#include "sink/core/collector.h"

/* What holds up the results at the sink, as the ventilator is told of it with each note.
 * Owns: how the output is doing, and since when nothing was taken from the network or by the output's reader.
 * Decides: which flags a note has (enum stored_flag). Called by: collector.c, notes.c, inbox.c. Calls: nothing. */
struct backpressure {
    bool order_full; /* the order window (-k) */
    enum collector_output output;
    uint64_t written_bytes; /* to the output */
    uint64_t written_ns;    /* when it last took something, or did not have to */
    bool is_unread;         /* it has taken nothing for a while */
    uint64_t held_ns;       /* since when no results are read; NEVER: they are */
    bool is_held;           /* for a while */
};

void backpressure_init(struct backpressure *b, uint64_t now_ns);
/* As collector_set_output; returns whether the output has taken something. */
bool backpressure_set_output(struct backpressure *b, enum collector_output output,
                             uint64_t written_bytes, uint64_t now_ns);
/* As collector_set_reading. */
void backpressure_set_reading(struct backpressure *b, bool reads, uint64_t now_ns);
/* enum stored_flag; `no_room`: a large result that is put together finds none on the disk. */
uint64_t backpressure_flags(const struct backpressure *b, bool no_room);
/* When a flag changes although nothing happens; NEVER. */
uint64_t backpressure_deadline(const struct backpressure *b);

#endif
