/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/reading.h"

#include "ventilator/core/audit.h"
#include "ventilator/core/dispatcher_state.h"
#include "ventilator/core/job_end.h"

/* More tasks than this are not read ahead, whatever their size: so ranges always fit a frame. */
#define LEDGER_TASKS_MAX (UINT64_C(1) << 20)

bool reading_is_full(const struct dispatcher *d)
{
    return d->ledger.bytes >= d->options.queue_max_bytes ||
           d->ledger.read - d->ledger.stored.members >= LEDGER_TASKS_MAX;
}

bool reading_may(const struct dispatcher *d)
{
    if (d->held_ns)
        return false;
    if (audit_reads(d))
        return d->sink.ready && !job_end_is_over(d);
    return d->sink.ready && !d->sink.says.order_full && !d->reading.ended && !job_end_is_over(d) &&
           (seqset_empty(&d->pending.queue) || d->sink.terms.wants_total) && !reading_is_full(d);
}
