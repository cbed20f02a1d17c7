/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/core/receipts.h"

#include "common/base/clock.h"
#include "common/base/patience.h"

void receipts_init(struct receipts *r, uint64_t now_ns)
{
    *r = (struct receipts){.moved_ns = now_ns, .stuck_ns = NEVER};
}

void receipts_other_sink(struct receipts *r)
{
    receipts_init(r, r->moved_ns);
}

void receipts_begin_session(struct receipts *r, uint64_t now_ns)
{
    r->told = false;
    r->batch = r->offset = 0;
    r->moved_ns = now_ns;
    receipts_send_again(r);
}

void receipts_send_again(struct receipts *r)
{
    r->sent_offset = r->offset;
    r->probe = 0;
}

bool receipts_received(struct receipts *r, const struct received *m)
{
    bool moved = m->batch > r->batch || m->offset > r->offset;
    if (m->batch > r->batch)
        r->batch = m->batch;
    if (m->offset > r->offset)
        r->offset = m->offset;
    r->told = true;
    r->reads = !(m->flags & RECEIVED_NOT_READING);
    return moved;
}

/* A way that takes long for a frame needs a longer limit: it falls again by and by. */
bool receipts_moved(struct receipts *r, uint64_t now_ns)
{
    bool was_stuck = r->stuck_ns != NEVER;
    uint64_t took_ns = now_ns - r->moved_ns;
    patience_moved(&r->limit_ns, took_ns);
    patience_moved(&r->usual_ns, took_ns);
    r->stuck_ns = NEVER;
    r->moved_ns = now_ns;
    return was_stuck;
}

void receipts_give_up(struct receipts *r, uint64_t usual_ns, uint64_t most_ns)
{
    if (r->stuck_ns == NEVER)
        r->stuck_ns = r->moved_ns;
    r->limit_ns = clock_earlier(2 * receipts_limit(r, usual_ns), most_ns);
}

bool receipts_is_under_way(const struct receipts *r, const struct results *results)
{
    return kept_is_out(&results->kept, r->batch) || r->probe > r->batch ||
           (results->large.count && r->sent_offset > r->offset);
}

uint64_t receipts_limit(const struct receipts *r, uint64_t usual_ns)
{
    return r->limit_ns > usual_ns ? r->limit_ns : usual_ns;
}

uint64_t receipts_slowness(const struct receipts *r, uint64_t usual_ns)
{
    return r->usual_ns > usual_ns ? r->usual_ns - usual_ns : 0;
}
