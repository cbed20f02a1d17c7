/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/status.h"

#include "ventilator/core/dispatcher_actions.h"
#include "ventilator/core/dispatcher_state.h"
#include "ventilator/core/pending.h"

static uint64_t slots_of_all(const struct dispatcher *d)
{
    uint64_t slots = 0;
    for (size_t i = 0; i < d->sessions.count; i++)
        slots += d->sessions.items[i]->slots;
    return slots;
}

void status_tell(struct dispatcher *d)
{
    if (!d->sink.ready)
        return;
    struct status m = {.total = d->reading.ended ? d->ledger.read : d->options.total,
                       .read = d->ledger.read,
                       .queued = pending_count(d),
                       .flags = d->reading.looks | (d->reading.ended ? STATUS_INPUT_ENDED : 0),
                       .workers = d->sessions.count,
                       .executor = d->executor,
                       .slots = slots_of_all(d)};
    m.out = d->ledger.read - d->ledger.stored.members - m.queued;
    struct buf to = {0};
    wire_begin(&to, KIND_STATUS, dispatcher_head(d, KIND_STATUS, d->sink.session));
    status_put(&to, &m);
    dispatcher_send(d, d->sink.connection, &to);
}
