/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/halt_order.h"

#include "ventilator/core/dispatcher_actions.h"
#include "ventilator/core/dispatcher_state.h"
#include "ventilator/core/job_end.h"
#include "ventilator/core/pending.h"
#include "ventilator/core/sessions.h"
#include "ventilator/core/standing.h"

/* The worker is told to kill the task, or not to begin it, and has it no more. */
static void cancel_at(struct dispatcher *d, struct session *s, uint64_t seq)
{
    struct entry *entry = ledger_find(&d->ledger, seq);
    struct story *story = ledger_make_story(&d->ledger, entry, seq, d->options.incarnation);
    const struct holder *h = story_holder(story, s);
    struct cancel_item item = {seq, h->attempt, h->batch};
    buf_put(&s->notices.cancel, &item, sizeof item);
    pending_take_back(d, s, seq);
}

/* Whose result is made already is waited for: it counts. */
static void cancel_unfinished(struct dispatcher *d, struct session *s)
{
    struct seqset unfinished = {0};
    struct range r;
    seqset_copy(&unfinished, &s->out);
    seqset_remove_all(&unfinished, &s->finished);
    for (uint64_t at = 1; seqset_next(&unfinished, at, UINT64_MAX - 1, &r); at = r.last + 1)
        for (uint64_t seq = r.first; seq <= r.last; seq++)
            cancel_at(d, s, seq);
    seqset_free(&unfinished);
    standing_note(d, s);
    sessions_want_flush(d, s);
}

void halt_order_take(struct dispatcher *d, struct bytes body, uint64_t now_ns)
{
    struct halt m;
    if (halt_take(body, &m)) {
        d->protests.dropped++;
        return;
    }
    if (d->end.stopping || d->end.done_sent || d->end.closed)
        return;
    d->end.halt = m;
    job_end_begin(d, now_ns);
    for (size_t i = 0; m.when == HALT_NOW && i < d->sessions.count; i++)
        cancel_unfinished(d, d->sessions.items[i]);
}

void halt_order_tell(struct dispatcher *d)
{
    if (d->end.halt.when == HALT_NEVER)
        return;
    struct buf to = {0};
    wire_begin(&to, KIND_HALT, dispatcher_head(d, KIND_HALT, d->sink.session));
    halt_put(&to, &d->end.halt);
    dispatcher_send(d, d->sink.connection, &to);
}
