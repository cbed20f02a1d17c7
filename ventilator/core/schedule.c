/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/schedule.h"

#include <assert.h>
#include <stdlib.h>

#include "common/base/xalloc.h"
#include "ventilator/core/dispatcher_actions.h"
#include "ventilator/core/dispatcher_state.h"
#include "ventilator/core/liveness.h"
#include "ventilator/core/pending.h"
#include "ventilator/core/sessions.h"
#include "ventilator/core/standing.h"
#include "ventilator/core/transfer.h"

/* Who gets which task.
 *
 * Tasks that were handed out before come first, lowest number first; new ones are read only when
 * somebody would take them. The session that would begin it first gets the next batch: one that idles, then
 * the one that is through with what it has soonest, by the pace at which it reports its tasks (greedy list
 * scheduling, Graham 1969). Nothing here looks at every session for each batch: those that take tasks are
 * kept in rankings, and standing_note moves a session when something has changed there. */

static void handed_out(struct dispatcher *d, uint64_t now_ns)
{
    d->handed_at_ns = now_ns;
    dispatcher_moved(d, now_ns);
}

struct session *schedule_pick_for_input(struct dispatcher *d)
{
    return ranking_first(&d->standings.takers[TAKES_NEW]);
}

/* ---- one batch ---- */

/* A TASKS message that is being put together from single tasks. */
struct parcel {
    struct session *session;
    struct buf message;
    struct buf records; /* of the run */
    struct task_run run;
    uint64_t tasks;
    size_t bytes;
    uint64_t sent_tasks; /* by the session before it */
    uint64_t sent_bytes;
};

static void parcel_begin(struct parcel *p, struct dispatcher *d, struct session *s)
{
    *p = (struct parcel){
        .session = s, .sent_tasks = s->credit.sent_tasks, .sent_bytes = s->credit.sent_bytes};
    wire_begin(&p->message, KIND_TASKS, dispatcher_head(d, KIND_TASKS, s->id));
    tasks_begin(&p->message, s->batch + 1);
}

static void parcel_end_run(struct parcel *p)
{
    if (p->run.count == 0)
        return;
    p->run.records = buf_bytes(&p->records);
    task_run_put(&p->message, &p->run);
    session_sent(p->session, p->run.first, p->run.first + p->run.count - 1, p->records.size);
    buf_clear(&p->records);
    p->run.count = 0;
}

/* The task is out at the session once more; `batch` is 0 for one that is on its way in pieces. */
static struct task_run next_attempt(const struct dispatcher *d, struct session *s,
                                    struct story *story, uint64_t flags, uint64_t batch)
{
    story->attempts++;
    if (story->holder_count)
        story->hedge = story->attempts; /* not the last: what it doubles decides */
    else if (story->fails + 1 >= d->options.retries)
        flags |= TASK_LAST;
    bool added = story_add_holder(
        story, (struct holder){s, {d->options.incarnation, story->attempts}, batch});
    assert(added); /* what is queued has no holder, what is hedged has one */
    return (struct task_run){.first = story->seq,
                             .number = story->attempts,
                             .tries = story->fails + story->losses + 1,
                             .flags = flags};
}

static void parcel_add(struct parcel *p, struct dispatcher *d, struct story *story,
                       struct bytes record, uint64_t flags)
{
    struct task_run run = next_attempt(d, p->session, story, flags, p->session->batch + 1);
    if (p->run.first + p->run.count != run.first || p->run.number != run.number ||
        p->run.tries != run.tries || p->run.flags != run.flags)
        parcel_end_run(p);
    if (p->run.count == 0)
        p->run = run;
    p->run.count++;
    buf_put_bytes(&p->records, record);
    p->tasks++;
    p->bytes += record.size;
}

static void parcel_send(struct parcel *p, struct dispatcher *d)
{
    parcel_end_run(p);
    if (p->tasks) {
        p->session->batch++;
        sessions_note_use(d, p->session);
        standing_note(d, p->session);
        dispatcher_send_lane(d, p->session->lane, block_new(&p->message));
    }
    buf_free(&p->message);
    buf_free(&p->records);
}

static void send_in_pieces(struct dispatcher *d, struct session *s, struct entry *entry,
                           struct story *story, uint64_t flags, uint64_t now_ns)
{
    struct task_run run = next_attempt(d, s, story, flags, 0);
    run.count = 1;
    transfer_begin(d, s, entry, ledger_record(entry, run.first), &run, now_ns);
}

/* Whether the task failed here, and another one where it did not, or longer ago, could begin it now,
 * or at least as soon as this one. */
static bool is_better_elsewhere(const struct dispatcher *d, const struct session *s,
                                const struct story *story)
{
    size_t here = pending_failed_lately(story, s);
    bool idles = session_is_idle(s);
    const struct ranking *takers = &d->standings.takers[TAKES_QUEUED];
    for (size_t i = 0; here && i < takers->count; i++) {
        const struct session *other = takers->items[i];
        if (pending_failed_lately(story, other) < here && (!idles || session_is_idle(other)))
            return true;
    }
    return false;
}

/* Whether the credit allows one more task of so many bytes; the reserve is for tasks that were
 * handed out before. One that goes in pieces goes alone, and there is one at a time. */
static bool schedule_fits(const struct parcel *p, const struct story *story, size_t size_bytes,
                          bool in_pieces)
{
    const struct session *s = p->session;
    if (in_pieces && (p->tasks || s->transfer.block))
        return false;
    if (in_pieces)
        size_bytes = task_pieces_credit(size_bytes);
    uint64_t tasks = p->sent_tasks + p->tasks;
    uint64_t bytes = p->sent_bytes + p->bytes + size_bytes;
    if (p->tasks && p->bytes + size_bytes > liveness_frame_max(s, BATCH_BYTES_MAX))
        return false;
    if (story->attempts && tasks < s->credit.granted.reserve)
        return true;
    bool first = p->tasks == 0 && seqset_empty(&s->out);
    return tasks < s->credit.granted.tasks && (first || bytes <= s->credit.granted.size_bytes);
}

/* How many of those that are queued: what fills its slots, and beyond that its share, by its pace. */
static uint64_t share_of(const struct dispatcher *d, const struct session *s)
{
    uint64_t unfinished = session_unfinished(s), room = standing_room(d, s, TAKES_QUEUED);
    uint64_t slots = session_usable_slots(s);
    uint64_t most = unfinished < slots ? slots - unfinished : 1;
    double share =
        (double)d->pending.queue.members * standing_rate(d, s) / d->standings.takers_rate;
    if (share > (double)most)
        most = share < BATCH_TASKS_MAX ? (uint64_t)share : BATCH_TASKS_MAX;
    return most < room ? most : room;
}

/* Sends the session a batch of what is queued, if `choosy` without what had better go elsewhere;
 * returns false if there is nothing for it. */
static bool send_queued(struct dispatcher *d, struct session *s, bool choosy, uint64_t now_ns)
{
    uint64_t most = share_of(d, s);
    size_t candidates = d->standings.takers[TAKES_QUEUED].count;
    struct parcel p;
    bool in_pieces = false;
    parcel_begin(&p, d, s);
    struct range r;
    for (uint64_t at = 1;
         p.tasks < most && !in_pieces && seqset_next(&d->pending.queue, at, UINT64_MAX - 1, &r);
         at = r.first + 1) {
        struct entry *entry = ledger_find(&d->ledger, r.first);
        struct story *story = ledger_make_story(&d->ledger, entry, r.first, d->options.incarnation);
        struct bytes record = ledger_record(entry, r.first);
        if (choosy && candidates > 1 && is_better_elsewhere(d, s, story))
            continue;
        bool large = transfer_is_needed(d, s, record.size);
        if (large && s->transfer.block)
            continue; /* for another worker; what is small may pass it */
        if (!schedule_fits(&p, story, record.size, large))
            break;
        pending_remove(d, r.first, r.first);
        if (large)
            send_in_pieces(d, s, entry, story, 0, now_ns);
        else
            parcel_add(&p, d, story, record, 0);
        in_pieces = large;
    }
    bool sent = p.tasks > 0 || in_pieces;
    parcel_send(&p, d);
    return sent;
}

static void new_large_task(struct dispatcher *d, struct session *s, uint64_t now_ns)
{
    size_t size_bytes = d->reading.batch.size - TASKS_HEAD_SIZE;
    struct block *block = block_new(&d->reading.batch);
    struct entry *entry = ledger_append(&d->ledger, 1, &block, TASKS_HEAD_SIZE);
    if (!s || standing_room(d, s, TAKES_NEW) == 0 || s->transfer.block ||
        !session_has_bytes(s, task_pieces_credit(size_bytes))) {
        seqset_add(&d->pending.queue, entry->first, entry->first);
        d->turn_wanted = true;
        return;
    }
    struct story *story =
        ledger_make_story(&d->ledger, entry, entry->first, d->options.incarnation);
    send_in_pieces(d, s, entry, story, 0, now_ns);
    handed_out(d, now_ns);
}

void schedule_new_tasks(struct dispatcher *d, struct session *s, size_t tasks, uint64_t now_ns)
{
    if (tasks == 1 && transfer_is_needed(d, s, d->reading.batch.size - TASKS_HEAD_SIZE)) {
        new_large_task(d, s, now_ns);
        return;
    }
    struct task_run run = {.first = d->ledger.read + 1,
                           .count = tasks,
                           .number = 1,
                           .tries = 1,
                           .flags = d->options.retries <= 1 ? TASK_LAST : 0};
    uint64_t last = run.first + tasks - 1;
    size_t size_bytes = d->reading.batch.size - TASKS_HEAD_SIZE;
    if (s)
        tasks_head_write(&d->reading.batch, dispatcher_head(d, KIND_TASKS, s->id), s->batch + 1,
                         &run);
    struct block *block = block_new(&d->reading.batch);
    struct block *kept = block_hold(block);
    struct entry *entry = ledger_append(&d->ledger, tasks, &kept, TASKS_HEAD_SIZE);
    if (!s || standing_room(d, s, TAKES_NEW) < tasks || !session_has_bytes(s, size_bytes)) {
        seqset_add(&d->pending.queue, run.first, last); /* for the first worker that has room */
        d->turn_wanted = true;
        block_release(&block);
        return;
    }
    s->batch++;
    sessions_note_use(d, s);
    entry->home = s;
    entry->home_batch = s->batch;
    session_sent(s, run.first, last, size_bytes);
    standing_note(d, s);
    dispatcher_send_lane(d, s->lane, block);
    handed_out(d, now_ns);
}

void schedule_one(struct dispatcher *d, struct session *s, uint64_t seq, uint64_t flags,
                  uint64_t now_ns)
{
    struct entry *entry = ledger_find(&d->ledger, seq);
    struct story *story = ledger_make_story(&d->ledger, entry, seq, d->options.incarnation);
    struct bytes record = ledger_record(entry, seq);
    pending_remove(d, seq, seq);
    if (transfer_is_needed(d, s, record.size)) {
        send_in_pieces(d, s, entry, story, flags, now_ns);
    } else {
        struct parcel p;
        parcel_begin(&p, d, s);
        parcel_add(&p, d, story, record, flags);
        parcel_send(&p, d);
    }
    handed_out(d, now_ns);
}

/* Sessions that are left out for the rest of a turn: nothing that is queued is for them, or there is no byte
 * credit. */
struct passed_over {
    struct session **items;
    size_t count;
    size_t capacity;
};

static void pass_over(struct dispatcher *d, struct session *s, struct passed_over *to)
{
    if (to->count == to->capacity) {
        to->capacity = to->capacity ? to->capacity * 2 : 16;
        to->items = xrealloc(to->items, to->capacity * sizeof(struct session *));
    }
    to->items[to->count++] = s;
    ranking_remove(&d->standings.takers[TAKES_QUEUED], s);
}

static void hand_out_queue(struct dispatcher *d, bool choosy, uint64_t now_ns)
{
    struct passed_over passed_over = {0};
    struct session *s;
    while (!seqset_empty(&d->pending.queue) &&
           (s = ranking_first(&d->standings.takers[TAKES_QUEUED])) != NULL)
        if (send_queued(d, s, choosy, now_ns))
            handed_out(d, now_ns);
        else
            pass_over(d, s, &passed_over);
    for (size_t i = 0; i < passed_over.count; i++)
        standing_note(d, passed_over.items[i]);
    free(passed_over.items);
}

void schedule_turn(struct dispatcher *d, uint64_t now_ns)
{
    hand_out_queue(d, true, now_ns);
    hand_out_queue(d, false, now_ns); /* a better place is never waited for */
}
