/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/core/backpressure.h"

#include "common/base/clock.h"

static const uint64_t unread_after_ns = NS_PER_S;      /* so long a reader may take nothing */
static const uint64_t held_after_ns = 100 * NS_PER_MS; /* so long no results are read */

void backpressure_init(struct backpressure *b, uint64_t now_ns)
{
    *b = (struct backpressure){.written_ns = now_ns, .held_ns = NEVER};
}

bool backpressure_set_output(struct backpressure *b, enum collector_output output,
                             uint64_t written_bytes, uint64_t now_ns)
{
    bool has_moved = written_bytes != b->written_bytes;
    if (output != OUTPUT_BLOCKED || has_moved)
        b->written_ns = now_ns;
    b->output = output;
    b->written_bytes = written_bytes;
    b->is_unread = now_ns >= b->written_ns + unread_after_ns;
    return has_moved;
}

void backpressure_set_reading(struct backpressure *b, bool reads, uint64_t now_ns)
{
    if (reads)
        b->held_ns = NEVER;
    else if (b->held_ns == NEVER)
        b->held_ns = now_ns;
    b->is_held = !reads && now_ns >= b->held_ns + held_after_ns;
}

uint64_t backpressure_flags(const struct backpressure *b, bool no_room)
{
    return (b->order_full ? STORED_ORDER_FULL : 0) | (b->is_unread ? STORED_UNREAD : 0) |
           (no_room || b->output == OUTPUT_NO_ROOM ? STORED_NO_ROOM : 0) |
           (b->is_held ? STORED_NOT_READING : 0);
}

uint64_t backpressure_deadline(const struct backpressure *b)
{
    return b->held_ns != NEVER && !b->is_held ? b->held_ns + held_after_ns : NEVER;
}
