/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/schedule.h"

#include <assert.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/xalloc.h"
#include "ventilator/core/charges.h"
#include "ventilator/core/dispatcher_state.h"
#include "ventilator/core/hedge.h"
#include "ventilator/core/liveness.h"
#include "ventilator/core/recall.h"
#include "ventilator/core/transfer.h"
#include "ventilator/core/workers.h"

/* Who gets which task.
 *
 * Tasks that were handed out before come first, lowest number first; new ones are read only when
 * somebody would take them. The session that would begin it first gets the next batch: one that idles, then
 * the one that is through with what it has soonest, by the pace at which it reports its tasks (greedy list
 * scheduling, Graham 1969). Nothing here looks at every session for each batch: those that take tasks are
 * kept in rankings, and schedule_note moves a session when something has changed there. */

enum {
    SUSPECT_FAILS =
        20 /* so many failures in a row, while others succeed, and it gets one at a time */
};

static void handed_out(struct dispatcher *d, uint64_t now_ns)
{
    d->schedule.handed_at_ns = now_ns;
    dispatcher_moved(d, now_ns);
}

void schedule_unqueue(struct dispatcher *d, uint64_t first, uint64_t last)
{
    seqset_remove(&d->pending.queue, first, last);
    seqset_remove(&d->pending.isolated, first, last);
    delays_remove(&d->pending.delayed, first, last);
    seqset_remove(&d->pending.loss_pending, first, last);
}

void schedule_queue(struct dispatcher *d, const struct story *story)
{
    assert(story->holder_count == 0);
    if (seqset_has(&d->pending.delayed.tasks, story->seq))
        return;
    schedule_unqueue(d, story->seq, story->seq);
    if (seqset_has(&d->pending.loss_reported, story->seq))
        return; /* a worker had kept its result; the verdict stands */
    struct seqset *where = charges_are_too_many(story)   ? &d->pending.loss_pending
                           : charges_make_suspect(story) ? &d->pending.isolated
                                                         : &d->pending.queue;
    seqset_add(where, story->seq, story->seq);
}

struct story *schedule_take_back(struct dispatcher *d, struct session *s, uint64_t seq)
{
    struct entry *entry = ledger_find(&d->ledger, seq);
    assert(entry); /* what a session has is in the ledger */
    struct story *story = ledger_make_story(&d->ledger, entry, seq, d->options.incarnation);
    story_remove_holder(story, s);
    session_forget(s, seq, seq);
    seqset_add(&s->had, seq, seq);
    if (story->holder_count == 0)
        schedule_queue(d, story);
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

void schedule_count_fail(const struct dispatcher *d, struct session *s, uint64_t seq)
{
    s->fails_in_a_row += !failed_elsewhere(d, s, seq);
}

void schedule_failed(struct dispatcher *d, struct session *s, uint64_t seq, uint64_t now_ns)
{
    schedule_count_fail(d, s, seq);
    struct story *story = schedule_take_back(d, s, seq);
    seqset_remove(&s->had, seq, seq);              /* such a result is not final */
    if (story->holder_count == 0 || !story->hedge) /* else the other attempt of this try decides */
        story->fails++;
    note_failed_at(story, s->instance);
    dispatcher_moved(d, now_ns);
    bool is_next = seqset_has(&d->pending.queue, seq) || seqset_has(&d->pending.isolated, seq);
    if (!is_next || !d->options.retry_delay_ns)
        return;
    schedule_unqueue(d, seq, seq);
    delays_add(&d->pending.delayed, seq,
               now_ns + delay_after(d->options.retry_delay_ns, story->fails, &d->random));
}

static void end_delays(struct dispatcher *d, uint64_t now_ns)
{
    uint64_t seq;
    while ((seq = delays_take(&d->pending.delayed, now_ns)) != 0)
        schedule_queue(d, entry_story(ledger_find(&d->ledger, seq), seq));
}

uint64_t schedule_waiting(const struct dispatcher *d)
{
    return d->pending.queue.members + d->pending.isolated.members + d->pending.delayed.count +
           d->pending.loss_pending.members;
}

/* ---- who takes tasks ---- */

static bool schedule_is_open(const struct session *s)
{
    return s->lane && s->connection && !s->ended && !s->leaving && !s->isolation.task &&
           !s->results.stuck_ms && !s->joins_anew && !s->lane_state.rests_until_ns;
}

/* One on which everything fails, while others succeed, gets one task at a time: so many failures in a row of tasks
 * that failed nowhere else, and it is not the tasks' fault. */
static bool is_suspect(const struct dispatcher *d, const struct session *s)
{
    return s->fails_in_a_row >= SUSPECT_FAILS && d->schedule.succeeding;
}

uint64_t schedule_room(const struct dispatcher *d, const struct session *s, enum ranking_kind kind)
{
    if (!schedule_is_open(s) || s->isolation.is_reserved)
        return 0;
    uint64_t room = session_has_bytes(s, 1) ? session_ordinary_room(s) : 0;
    if (kind == TAKES_QUEUED && session_reserve_room(s) > room)
        room = session_reserve_room(s);
    if (room && is_suspect(d, s))
        room = session_unfinished(s) == 0;
    return room;
}

/* As long as its own pace is not known it is taken to be like the others. */
double schedule_rate(const struct dispatcher *d, const struct session *s)
{
    double pace_ns = pace_of(&s->pace), slot_pace_ns = pace_of(&d->schedule.slot_pace);
    if (pace_ns > 0)
        return 1 / pace_ns;
    return (double)s->slots / (slot_pace_ns > 0 ? slot_pace_ns : (double)NS_PER_S);
}

/* Below 1: it has a slot that idles. Else the time until it is through with what it has. */
static double load_of(const struct dispatcher *d, const struct session *s)
{
    double unfinished = (double)session_unfinished(s), slots = (double)s->slots;
    if (unfinished < slots)
        return unfinished / slots;
    return 1 + (unfinished - slots + 1) / schedule_rate(d, s);
}

static void note_success(struct dispatcher *d, struct session *s, bool succeeds)
{
    bool before = d->schedule.succeeding;
    if (succeeds == s->standing.succeeds)
        return;
    d->schedule.succeeding += succeeds;
    d->schedule.succeeding -= s->standing.succeeds;
    s->standing.succeeds = succeeds;
    for (size_t i = 0; before != (d->schedule.succeeding > 0) && i < d->sessions.count; i++)
        if (d->sessions.items[i]->fails_in_a_row >= SUSPECT_FAILS)
            schedule_note(d, d->sessions.items[i]);
}

static void note_rank(struct dispatcher *d, struct session *s)
{
    double rate = 0;
    for (enum ranking_kind kind = TAKES_NEW; kind < RANKINGS; kind++)
        if (schedule_room(d, s, kind)) {
            ranking_put(&d->schedule.takers[kind], s);
            rate = kind == TAKES_QUEUED ? schedule_rate(d, s) : 0;
        } else {
            ranking_remove(&d->schedule.takers[kind], s);
        }
    d->schedule.takers_rate += rate - s->standing.rate;
    s->standing.rate = rate;
    if (d->schedule.takers[TAKES_QUEUED].count == 0)
        d->schedule.takers_rate = 0; /* rounding does not add up for ever */
}

void schedule_note(struct dispatcher *d, struct session *s)
{
    uint64_t unfinished = session_unfinished(s);
    if (unfinished && !s->standing.unfinished)
        s->pace_from_ns = d->turned_at_ns;
    s->standing.unfinished = unfinished;
    bool gives = s->connection && session_unstarted(s) > 0;
    bool wants = unfinished < s->slots && schedule_room(d, s, TAKES_QUEUED);
    d->schedule.giving += gives;
    d->schedule.giving -= s->standing.gives;
    d->schedule.wanting += wants;
    d->schedule.wanting -= s->standing.wants;
    if (wants && !s->standing.wants)
        s->standing.wants_from_ns = d->turned_at_ns;
    s->standing.gives = gives;
    s->standing.wants = wants;
    if (!seqset_empty(&s->handed.tasks))
        seqset_add(&d->handed, s->id, s->id);
    s->standing.load = load_of(d, s);
    note_rank(d, s);
    note_success(d, s, s->used && s->fails_in_a_row == 0);
}

void schedule_note_end(struct dispatcher *d, struct session *s)
{
    note_success(d, s, false);
    for (enum ranking_kind kind = TAKES_NEW; kind < RANKINGS; kind++)
        ranking_remove(&d->schedule.takers[kind], s);
    d->schedule.takers_rate -= s->standing.rate;
    d->schedule.giving -= s->standing.gives;
    d->schedule.wanting -= s->standing.wants;
}

struct session *schedule_pick_for_input(struct dispatcher *d)
{
    return ranking_first(&d->schedule.takers[TAKES_NEW]);
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
        workers_note_use(d, p->session);
        schedule_note(d, p->session);
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

size_t schedule_failed_lately(const struct story *story, const struct session *s)
{
    for (size_t i = 0; i < FAILED_AT_MAX && story->failed_at[i]; i++)
        if (story->failed_at[i] == s->instance)
            return FAILED_AT_MAX - i;
    return 0;
}

/* Whether the task failed here, and another one where it did not, or longer ago, could begin it now,
 * or at least as soon as this one. */
static bool is_better_elsewhere(const struct dispatcher *d, const struct session *s,
                                const struct story *story)
{
    size_t here = schedule_failed_lately(story, s);
    bool idles = session_unfinished(s) < s->slots;
    const struct ranking *takers = &d->schedule.takers[TAKES_QUEUED];
    for (size_t i = 0; here && i < takers->count; i++) {
        const struct session *other = takers->items[i];
        if (schedule_failed_lately(story, other) < here &&
            (!idles || session_unfinished(other) < other->slots))
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
    uint64_t unfinished = session_unfinished(s), room = schedule_room(d, s, TAKES_QUEUED);
    uint64_t most = unfinished < s->slots ? s->slots - unfinished : 1;
    double share = (double)d->pending.queue.members * schedule_rate(d, s) / d->schedule.takers_rate;
    if (share > (double)most)
        most = share < BATCH_TASKS_MAX ? (uint64_t)share : BATCH_TASKS_MAX;
    return most < room ? most : room;
}

/* Sends the session a batch of what is queued, if `choosy` without what had better go elsewhere;
 * returns false if there is nothing for it. */
static bool send_queued(struct dispatcher *d, struct session *s, bool choosy, uint64_t now_ns)
{
    uint64_t most = share_of(d, s);
    size_t candidates = d->schedule.takers[TAKES_QUEUED].count;
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
        schedule_unqueue(d, r.first, r.first);
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
    if (!s || schedule_room(d, s, TAKES_NEW) == 0 || s->transfer.block ||
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
    if (!s || schedule_room(d, s, TAKES_NEW) < tasks || !session_has_bytes(s, size_bytes)) {
        seqset_add(&d->pending.queue, run.first, last); /* for the first worker that has room */
        d->turn_wanted = true;
        block_release(&block);
        return;
    }
    s->batch++;
    workers_note_use(d, s);
    entry->home = s;
    entry->home_batch = s->batch;
    session_sent(s, run.first, last, size_bytes);
    schedule_note(d, s);
    dispatcher_send_lane(d, s->lane, block);
    handed_out(d, now_ns);
}

/* ---- tasks that run alone ---- */

/* Whether a is the better place for a task that must be alone: who has nothing to do, then who is
 * kept free already, then who will be free soonest. */
static bool is_emptier(const struct session *a, const struct session *b)
{
    uint64_t in_a = session_unfinished(a), in_b = session_unfinished(b);
    if (in_a == 0 || in_b == 0 || a->isolation.is_reserved == b->isolation.is_reserved)
        return in_a < in_b;
    return a->isolation.is_reserved;
}

static struct session *emptiest(struct dispatcher *d)
{
    struct session *best = NULL;
    for (size_t i = 0; i < d->sessions.count; i++) {
        struct session *s = d->sessions.items[i];
        bool has_room =
            session_reserve_room(s) || (session_ordinary_room(s) && seqset_empty(&s->out));
        if (schedule_is_open(s) && (has_room || session_unfinished(s)) &&
            (!best || is_emptier(s, best)))
            best = s;
    }
    return best;
}

void schedule_one(struct dispatcher *d, struct session *s, uint64_t seq, uint64_t flags,
                  uint64_t now_ns)
{
    struct entry *entry = ledger_find(&d->ledger, seq);
    struct story *story = ledger_make_story(&d->ledger, entry, seq, d->options.incarnation);
    struct bytes record = ledger_record(entry, seq);
    schedule_unqueue(d, seq, seq);
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

static void send_alone(struct dispatcher *d, struct session *s, uint64_t seq, uint64_t now_ns)
{
    schedule_one(d, s, seq, TASK_ALONE, now_ns);
    s->isolation.task = seq;
    s->isolation.is_reserved = false;
    schedule_note(d, s);
}

/* Each task with a loss gets a worker of its own; if none is empty, one is kept free for the next.
 */
static void hand_out_isolated(struct dispatcher *d, uint64_t now_ns)
{
    while (!seqset_empty(&d->pending.isolated)) {
        struct session *s = emptiest(d);
        if (!s)
            return;
        if (session_unfinished(s) == 0) {
            send_alone(d, s, seqset_min(&d->pending.isolated), now_ns);
            continue;
        }
        s->isolation.is_reserved = d->schedule.keeps_free = true;
        schedule_note(d, s);
        if (recall_may_ask(s, now_ns))
            recall_ask(d, s, session_unstarted(s), now_ns);
        return;
    }
    for (size_t i = 0; d->schedule.keeps_free && i < d->sessions.count; i++)
        if (d->sessions.items[i]->isolation.is_reserved) {
            d->sessions.items[i]->isolation.is_reserved = false;
            schedule_note(d, d->sessions.items[i]);
        }
    d->schedule.keeps_free = false;
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
    ranking_remove(&d->schedule.takers[TAKES_QUEUED], s);
}

static void hand_out_queue(struct dispatcher *d, bool choosy, uint64_t now_ns)
{
    struct passed_over passed_over = {0};
    struct session *s;
    while (!seqset_empty(&d->pending.queue) &&
           (s = ranking_first(&d->schedule.takers[TAKES_QUEUED])) != NULL)
        if (send_queued(d, s, choosy, now_ns))
            handed_out(d, now_ns);
        else
            pass_over(d, s, &passed_over);
    for (size_t i = 0; i < passed_over.count; i++)
        schedule_note(d, passed_over.items[i]);
    free(passed_over.items);
}

void schedule_turn(struct dispatcher *d, uint64_t now_ns)
{
    end_delays(d, now_ns);
    d->recall.due_ns = NEVER;
    if (d->held_ns || dispatcher_is_over(d) || !d->sink.ready || audit_holds(d, now_ns))
        return;
    hand_out_isolated(d, now_ns);
    hand_out_queue(d, true, now_ns);
    hand_out_queue(d, false, now_ns); /* a better place is never waited for */
    recall_turn(d, now_ns);
    hedge_turn(d, now_ns);
}
