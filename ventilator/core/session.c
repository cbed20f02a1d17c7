/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/session.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/shown.h"
#include "common/base/xalloc.h"

enum {
    NAME_SIZE_MAX = 200,
    SLOTS_MAX = 1 << 16, /* a number that a peer makes up is not multiplied with */
};

/* What a peer calls itself goes into lines for users: not all of it. */
static char *to_be_shown(struct bytes text)
{
    size_t size = text.size < NAME_SIZE_MAX ? text.size : NAME_SIZE_MAX;
    return shown_copy((struct bytes){text.data, size});
}

struct session *session_new(uint64_t id, uint64_t connection, const struct peer *peer,
                            uint64_t slots, uint64_t now_ns)
{
    struct session *s = xcalloc(1, sizeof *s);
    s->id = id;
    s->connection = connection;
    s->half_closed_at_ns = NEVER;
    s->heard.at_ns = s->joined_at_ns = s->lane_state.moved_at_ns = now_ns;
    s->promise.kept_at_ns = now_ns;
    s->instance = peer->instance;
    s->name = to_be_shown(peer->name);
    s->host = to_be_shown(peer->host);
    s->slots = slots == 0 ? 1 : slots > SLOTS_MAX ? SLOTS_MAX : slots;
    return s;
}

void session_free(struct session *s)
{
    block_release(&s->transfer.block);
    for (size_t i = 0; i < TRANSFER_WINDOW; i++)
        block_release(&s->transfer.sent[i]);
    seqset_free(&s->out);
    seqset_free(&s->finished);
    seqset_free(&s->had);
    seqset_free(&s->handed.tasks);
    seqset_free(&s->notices.release);
    buf_free(&s->notices.cancel);
    free(s->order.items);
    free(s->running.stints);
    seqset_free(&s->running.stopped);
    free(s->running.held);
    free(s->name);
    free(s->host);
    free(s);
}

static bool undone(const struct session *s, struct range r)
{
    return seqset_count_in(&s->out, r.first, r.last) >
           seqset_count_in(&s->finished, r.first, r.last);
}

/* Drops the runs of which nothing is unfinished. Called when the array is full, and kept linear in
 * all by growing unless it became half empty. */
static void prune_order(struct session *s)
{
    size_t to = 0;
    for (size_t i = 0; i < s->order.count; i++)
        if (undone(s, s->order.items[i]))
            s->order.items[to++] = s->order.items[i];
    s->order.count = to;
}

static void grow_order(struct session *s)
{
    s->order.capacity = s->order.capacity ? s->order.capacity * 2 : 16;
    s->order.items = xrealloc(s->order.items, s->order.capacity * sizeof *s->order.items);
}

static void insert_order(struct session *s, size_t at, struct range r)
{
    if (s->order.count == s->order.capacity)
        grow_order(s);
    memmove(s->order.items + at + 1, s->order.items + at,
            (s->order.count - at) * sizeof *s->order.items);
    s->order.count++;
    s->order.items[at] = r;
}

static void remove_order(struct session *s, size_t at)
{
    s->order.count--;
    memmove(s->order.items + at, s->order.items + at + 1,
            (s->order.count - at) * sizeof *s->order.items);
}

/* A task that was here before and came back counts from where it stands in the lane now. */
static void cut_order(struct session *s, uint64_t first, uint64_t last)
{
    for (size_t i = s->order.count; i-- > 0;) {
        struct range r = s->order.items[i];
        if (r.last < first || r.first > last)
            continue;
        if (r.last > last)
            insert_order(s, i + 1, (struct range){last + 1, r.last});
        if (r.first < first)
            s->order.items[i].last = first - 1;
        else
            remove_order(s, i);
    }
}

static void append_order(struct session *s, uint64_t first, uint64_t last)
{
    if (first <= s->order.last)
        cut_order(s, first, last);
    if (last > s->order.last)
        s->order.last = last;
    if (s->order.count == s->order.capacity) {
        prune_order(s);
        if (s->order.count >= s->order.capacity / 2)
            grow_order(s);
    }
    insert_order(s, s->order.count, (struct range){first, last});
}

static void note_handed(struct session *s, uint64_t first, uint64_t last)
{
    seqset_add(&s->out, first, last);
    if (s->handed.is_wanted)
        seqset_add(&s->handed.tasks, first, last);
}

void session_sent(struct session *s, uint64_t first, uint64_t last, size_t size_bytes)
{
    note_handed(s, first, last);
    append_order(s, first, last);
    s->credit.sent_tasks += last - first + 1;
    s->recall.holds_fast = false;
    s->credit.sent_bytes += size_bytes;
}

void session_transfer(struct session *s, struct block *block, struct bytes record,
                      const struct task_run *run)
{
    struct transfer *t = &s->transfer;
    assert(!t->block);
    t->block = block_hold(block);
    t->record = record;
    t->run = *run;
    t->offset = 0;
    note_handed(s, run->first, run->first);
    s->credit.sent_tasks++;
    s->credit.sent_bytes += task_pieces_credit(record.size);
    s->recall.holds_fast = false;
}

bool session_transfers(const struct session *s, uint64_t seq)
{
    return s->transfer.block && s->transfer.run.first == seq;
}

void session_transferred(struct session *s)
{
    append_order(s, s->transfer.run.first, s->transfer.run.first);
    block_release(&s->transfer.block);
}

static void cut_transfer(struct session *s)
{
    struct transfer *t = &s->transfer;
    s->credit.sent_tasks--;
    s->credit.sent_bytes -= task_pieces_credit(t->record.size);
    t->cut = t->offset ? t->run.first : t->cut;
    block_release(&t->block);
}

void session_has(struct session *s, uint64_t seq, bool finished)
{
    note_handed(s, seq, seq);
    if (finished)
        seqset_add(&s->finished, seq, seq);
    else
        append_order(s, seq, seq);
}

void session_forget(struct session *s, uint64_t first, uint64_t last)
{
    seqset_remove(&s->out, first, last);
    seqset_remove(&s->finished, first, last);
    if (s->isolation.task >= first && s->isolation.task <= last)
        s->isolation.task = 0;
    if (s->transfer.block && s->transfer.run.first >= first && s->transfer.run.first <= last)
        cut_transfer(s);
}

static void session_add_stint(struct session *s, uint64_t first, uint64_t last, uint64_t since_ns)
{
    struct stint *end =
        s->running.stint_count ? &s->running.stints[s->running.stint_count - 1] : NULL;
    if (end && end->tasks.last + 1 == first && end->since_ns == since_ns) {
        end->tasks.last = last;
        return;
    }
    if ((s->running.stint_count & (s->running.stint_count - 1)) ==
        0) /* full: a power of two, or none */
        s->running.stints =
            xrealloc(s->running.stints, (s->running.stint_count ? 2 * s->running.stint_count : 1) *
                                            sizeof *s->running.stints);
    s->running.stints[s->running.stint_count++] = (struct stint){{first, last}, since_ns};
}

/* Tasks that were named before keep their time. Names of what it does not have cost nothing. */
void session_runs(struct session *s, const struct seqset *running, uint64_t long_ns,
                  uint64_t now_ns)
{
    struct stint *old = s->running.stints;
    size_t old_count = s->running.stint_count, at = 0;
    s->running.stints = NULL;
    s->running.stint_count = 0;
    for (size_t i = 0; i < running->count; i++) {
        struct range r;
        for (uint64_t seq = running->ranges[i].first;
             seq <= running->ranges[i].last &&
             seqset_next(&s->out, seq, running->ranges[i].last, &r);
             seq = r.last + 1)
            while (r.first <= r.last) {
                while (at < old_count && old[at].tasks.last < r.first)
                    at++;
                bool known = at < old_count && old[at].tasks.first <= r.first;
                uint64_t last = r.last;
                if (known && old[at].tasks.last < last)
                    last = old[at].tasks.last;
                else if (!known && at < old_count && old[at].tasks.first <= last)
                    last = old[at].tasks.first - 1;
                session_add_stint(s, r.first, last, known ? old[at].since_ns : now_ns - long_ns);
                r.first = last + 1;
            }
    }
    free(old);
}

void session_notes(struct session *s, const struct heartbeat *m)
{
    s->running.unusable = m->unusable;
    seqset_copy(&s->running.stopped, &m->stopped);
    free(s->running.held);
    s->running.held = m->held_count ? xcalloc(m->held_count, sizeof *s->running.held) : NULL;
    s->running.held_count = m->held_count;
    for (size_t i = 0; i < m->held_count; i++) {
        struct held_note *note = &s->running.held[i];
        char *command = shown_copy(m->held[i].command);
        note->seq = m->held[i].seq;
        if (m->held[i].pid)
            snprintf(note->by, sizeof note->by, "by %.32s (pid %llu)", command,
                     (unsigned long long)m->held[i].pid);
        else
            snprintf(note->by, sizeof note->by, "by a process that cannot be seen");
        free(command);
    }
}

void session_runs_on(struct session *s, struct session *before)
{
    free(s->running.stints);
    s->running.stints = before->running.stints;
    s->running.stint_count = before->running.stint_count;
    before->running.stints = NULL;
    before->running.stint_count = 0;
    s->errors.count = before->errors.count;
    memcpy(s->errors.last, before->errors.last, sizeof s->errors.last);
    s->errors.protests = before->errors.protests;
    s->errors.astray = before->errors.astray;
    s->promise.broken = before->promise.broken;
}

struct whereabouts session_whereabouts(const struct session *s)
{
    struct whereabouts at;
    bool named = strncmp(s->name, s->host, strlen(s->host)) == 0; /* "host:pid", if nobody chose */
    snprintf(at.text, sizeof at.text, "%.*s%s%.*s", SESSION_NAME_SHOWN, s->name, named ? "" : "@",
             named ? 0 : SESSION_NAME_SHOWN, s->host);
    return at;
}

uint64_t session_unfinished(const struct session *s)
{
    return s->out.members - s->finished.members;
}

uint64_t session_usable_slots(const struct session *s)
{
    return s->slots > s->running.unusable ? s->slots - s->running.unusable : 0;
}

bool session_is_idle(const struct session *s)
{
    return session_unfinished(s) < session_usable_slots(s);
}

uint64_t session_unstarted(const struct session *s)
{
    uint64_t unfinished = session_unfinished(s) - (s->transfer.block != NULL);
    uint64_t slots = session_usable_slots(s);
    return unfinished > slots && !s->isolation.task ? unfinished - slots : 0;
}

void session_presume_started(const struct session *s, struct seqset *to)
{
    uint64_t left = s->slots;
    for (size_t i = 0; i < s->order.count && left; i++) {
        struct range r = s->order.items[i];
        for (uint64_t seq = r.first; seq <= r.last && left; seq++)
            if (seqset_has(&s->out, seq) && !seqset_has(&s->finished, seq)) {
                left -= seqset_add(to, seq, seq);
            }
    }
}

void pace_add(struct pace *p, uint64_t time_ns, uint64_t tasks, uint64_t window_ns)
{
    if (p->window_ns >= (double)window_ns) {
        p->time_ns /= 2;
        p->tasks /= 2;
        p->window_ns = 0;
    }
    p->time_ns += (double)time_ns;
    p->tasks += (double)tasks;
    p->window_ns += (double)time_ns;
}

double pace_of(const struct pace *p)
{
    return p->tasks > 0 ? (p->time_ns + 1) / p->tasks : 0;
}

uint64_t session_ordinary_room(const struct session *s)
{
    return s->credit.granted.tasks > s->credit.sent_tasks
               ? s->credit.granted.tasks - s->credit.sent_tasks
               : 0;
}

uint64_t session_reserve_room(const struct session *s)
{
    return s->credit.granted.reserve > s->credit.sent_tasks
               ? s->credit.granted.reserve - s->credit.sent_tasks
               : 0;
}

bool session_has_bytes(const struct session *s, size_t size_bytes)
{
    return seqset_empty(&s->out) ||
           s->credit.sent_bytes + size_bytes <= s->credit.granted.size_bytes;
}
