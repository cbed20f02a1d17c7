/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/pending.h"

#include <assert.h>

#include "ventilator/core/dispatcher_state.h"

void pending_remove(struct dispatcher *d, uint64_t first, uint64_t last)
{
    seqset_remove(&d->pending.queue, first, last);
    seqset_remove(&d->pending.isolated, first, last);
    delays_remove(&d->pending.delayed, first, last);
    seqset_remove(&d->pending.loss_pending, first, last);
}

void pending_add(struct dispatcher *d, const struct story *story)
{
    assert(story->holder_count == 0);
    if (seqset_has(&d->pending.delayed.tasks, story->seq))
        return;
    pending_remove(d, story->seq, story->seq);
    if (seqset_has(&d->pending.loss_reported, story->seq))
        return; /* a worker had kept its result; the verdict stands */
    struct seqset *where = story_is_lost(story)      ? &d->pending.loss_pending
                           : story_is_suspect(story) ? &d->pending.isolated
                                                     : &d->pending.queue;
    seqset_add(where, story->seq, story->seq);
}

struct story *pending_take_back(struct dispatcher *d, struct session *s, uint64_t seq)
{
    struct entry *entry = ledger_find(&d->ledger, seq);
    assert(entry); /* what a session has is in the ledger */
    struct story *story = ledger_make_story(&d->ledger, entry, seq, d->options.incarnation);
    story_remove_holder(story, s);
    session_forget(s, seq, seq);
    seqset_add(&s->had, seq, seq);
    if (story->holder_count == 0)
        pending_add(d, story);
    return story;
}

/* Notes the worker as the last one where it failed. */
static void note_failed_at(struct story *story, uint64_t instance)
{
    size_t at = 0;
    while (at < FAILED_AT_MAX - 1 && story->failed_at[at] && story->failed_at[at] != instance)
        at++;
    for (; at > 0; at--)
        story->failed_at[at] = story->failed_at[at - 1];
    story->failed_at[0] = instance;
}

/* What failed at another worker, too, is at fault itself: at the end of a job such tasks are all that is left. */
static bool failed_elsewhere(const struct dispatcher *d, const struct session *s, uint64_t seq)
{
    const struct entry *entry = ledger_find(&d->ledger, seq);
    const struct story *story = entry ? entry_story(entry, seq) : NULL;
    for (size_t i = 0; story && i < FAILED_AT_MAX && story->failed_at[i]; i++)
        if (story->failed_at[i] != s->instance)
            return true;
    return false;
}

void pending_count_fail(const struct dispatcher *d, struct session *s, uint64_t seq)
{
    s->fails_in_a_row += !failed_elsewhere(d, s, seq);
}

void pending_failed(struct dispatcher *d, struct session *s, uint64_t seq, uint64_t now_ns)
{
    pending_count_fail(d, s, seq);
    struct story *story = pending_take_back(d, s, seq);
    seqset_remove(&s->had, seq, seq);              /* such a result is not final */
    if (story->holder_count == 0 || !story->hedge) /* else the other attempt of this try decides */
        story->fails++;
    note_failed_at(story, s->instance);
    dispatcher_moved(d, now_ns);
    bool is_next = seqset_has(&d->pending.queue, seq) || seqset_has(&d->pending.isolated, seq);
    if (!is_next || !d->options.retry_delay_ns)
        return;
    pending_remove(d, seq, seq);
    delays_add(&d->pending.delayed, seq,
               now_ns + delay_after(d->options.retry_delay_ns, story->fails, &d->random));
}

void pending_end_delays(struct dispatcher *d, uint64_t now_ns)
{
    uint64_t seq;
    while ((seq = delays_take(&d->pending.delayed, now_ns)) != 0)
        pending_add(d, entry_story(ledger_find(&d->ledger, seq), seq));
}

uint64_t pending_count(const struct dispatcher *d)
{
    return d->pending.queue.members + d->pending.isolated.members + d->pending.delayed.count +
           d->pending.loss_pending.members;
}

size_t pending_failed_lately(const struct story *story, const struct session *s)
{
    for (size_t i = 0; i < FAILED_AT_MAX && story->failed_at[i]; i++)
        if (story->failed_at[i] == s->instance)
            return FAILED_AT_MAX - i;
    return 0;
}

void pending_report_loss(struct dispatcher *d, uint64_t seq)
{
    pending_remove(d, seq, seq);
    seqset_add(&d->pending.loss_reported, seq, seq);
    seqset_add(&d->pending.unsaid, seq, seq);
}
