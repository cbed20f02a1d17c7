/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/handed.h"

#include "ventilator/core/dispatcher_actions.h"
#include "ventilator/core/dispatcher_state.h"
#include "ventilator/core/pending.h"

/* Which tasks each session was handed, for a sink that takes no other results (docs/protocol.md, 19). The sessions
 * note it (session.c); here it is passed on: HANDED goes to the sink before anything from which it could conclude
 * that a result is not among them. */

/* At most so many ranges in one message. */
enum { RANGES_MAX = 50000 };

static void send_handed(struct dispatcher *d, const struct session_tasks *m)
{
    struct buf to = {0};
    wire_begin(&to, KIND_HANDED, dispatcher_head(d, KIND_HANDED, d->sink.session));
    session_tasks_put(&to, m);
    dispatcher_send(d, d->sink.connection, &to);
}

static void tell_of(struct dispatcher *d, struct session *s)
{
    struct session_tasks m = {.session = s->id};
    for (size_t i = 0; i < s->handed.tasks.count; i++) {
        seqset_add(&m.tasks, s->handed.tasks.ranges[i].first, s->handed.tasks.ranges[i].last);
        if (m.tasks.count == RANGES_MAX || i + 1 == s->handed.tasks.count) {
            send_handed(d, &m);
            seqset_clear(&m.tasks);
        }
    }
    session_tasks_free(&m);
    seqset_clear(&s->handed.tasks);
}

/* The record of a try that has failed goes to the sink when its turn comes, which may be in a later session of its
 * process than the one that was told of it; and it comes again with the batch that it is in. */
void handed_note_tried(struct dispatcher *d, struct session *s)
{
    if (!s->handed.is_wanted || !s->instance)
        return;
    for (size_t i = d->ledger.head; i < d->ledger.end; i++) {
        const struct entry *entry = d->ledger.places[i].entry;
        for (size_t j = 0; entry && j < entry->story_count; j++)
            if (pending_failed_lately(&entry->stories[j], s) &&
                !seqset_has(&d->ledger.stored, entry->stories[j].seq))
                seqset_add(&s->handed.tasks, entry->stories[j].seq, entry->stories[j].seq);
    }
}

void handed_begin(struct dispatcher *d)
{
    seqset_clear(&d->handed);
    for (size_t i = 0; i < d->sessions.count; i++) {
        struct session *s = d->sessions.items[i];
        seqset_clear(&s->handed.tasks);
        s->handed.is_wanted = d->sink.terms.wants_handed;
        if (!s->handed.is_wanted)
            continue;
        seqset_copy(&s->handed.tasks, &s->out);
        seqset_add_all(&s->handed.tasks, &s->had);
        handed_note_tried(d, s);
        if (!seqset_empty(&s->handed.tasks))
            seqset_add(&d->handed, s->id, s->id);
    }
    handed_tell(d);
}

void handed_tell(struct dispatcher *d)
{
    if (!d->sink.connection || seqset_empty(&d->handed))
        return;
    struct range r;
    for (uint64_t at = 1; seqset_next(&d->handed, at, UINT64_MAX - 1, &r); at = r.first + 1) {
        struct session *s = index_get(&d->sessions.by_id, r.first);
        if (s)
            tell_of(d, s);
    }
    seqset_clear(&d->handed);
}
