/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/dispatcher_state.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/xalloc.h"

/* Workers come, say what they have, go, die, and come back (docs/protocol.md, 4 and 5). */

#define PACE_WINDOW_NS (100 * NS_PER_MS)

/* ---- lists ---- */

static void add_session(struct dispatcher *d, struct session *s)
{
    if (d->session_count == d->session_capacity) {
        d->session_capacity = d->session_capacity ? d->session_capacity * 2 : 16;
        d->sessions = xrealloc(d->sessions, d->session_capacity * sizeof *d->sessions);
    }
    s->at = d->session_count;
    d->sessions[d->session_count++] = s;
    index_set(&d->by_id, s->id, s);
    index_set(&d->by_connection, s->connection, s);
    if (s->instance)
        index_set(&d->by_instance, s->instance, s);
    handout_note(d, s);
}

static void remove_session(struct dispatcher *d, struct session *s)
{
    handout_note_end(d, s);
    if (s->is_to_flush)
        TAILQ_REMOVE(&d->to_flush, s, next_to_flush);
    struct session *last = d->sessions[--d->session_count];
    d->sessions[s->at] = last;
    last->at = s->at;
    index_remove(&d->by_id, s->id);
    if (s->instance)
        index_remove(&d->by_instance, s->instance);
    if (index_get(&d->by_connection, s->connection) == s)
        index_remove(&d->by_connection, s->connection);
    if (s->lane) {
        index_remove(&d->by_lane, s->lane);
        dispatcher_act(d, DISPATCHER_CLOSE_LANE, s->lane);
    }
    if (d->target == s)
        d->target = NULL;
}

static void remove_waiting(struct dispatcher *d, uint64_t connection)
{
    for (size_t i = 0; i < d->waiting_count; i++)
        if (d->waiting[i].connection == connection) {
            block_release(&d->waiting[i].message);
            d->waiting[i] = d->waiting[--d->waiting_count];
            return;
        }
}

void workers_free(struct dispatcher *d)
{
    while (d->waiting_count)
        remove_waiting(d, d->waiting[0].connection);
    losses_free(d);
    for (size_t i = 0; i < d->session_count; i++)
        session_free(d->sessions[i]);
    free(d->waiting);
    free(d->sessions);
}

void workers_note_use(struct dispatcher *d, struct session *s)
{
    uint64_t instance = s->instance ? s->instance : s->id;
    if (s->used)
        return;
    s->used = true;
    if (index_get(&d->seen, instance))
        return;
    index_set(&d->seen, instance, d);
    d->workers_seen++;
}

/* ---- the end of a session ---- */

static void take_everything_back(struct dispatcher *d, struct session *s)
{
    while (!seqset_empty(&s->out))
        handout_take_back(d, s, seqset_min(&s->out));
}

/* An entry may still name the session as the home of tasks that are not its own any more: all of
 * those have stories or are stored, so the name is only taken out. */
static void forget_home(struct dispatcher *d, const struct session *s)
{
    for (size_t i = d->ledger.head; i < d->ledger.end; i++)
        if (d->ledger.places[i].entry && d->ledger.places[i].entry->home == s)
            d->ledger.places[i].entry->home = NULL;
}

void workers_end(struct dispatcher *d, struct session *s, bool charge, uint64_t now_ns)
{
    if (charge)
        losses_charge(d, s, now_ns);
    take_everything_back(d, s);
    forget_home(d, s);
    remove_session(d, s);
    sinkside_session_ended(d, s->id);
    session_free(s);
    dispatcher_moved(d, now_ns);
}

static void send_again(struct dispatcher *d, uint64_t connection, uint64_t session)
{
    struct buf m = {0};
    wire_begin(&m, KIND_AGAIN, dispatcher_head(d, KIND_AGAIN, session));
    number_put(&m, session);
    dispatcher_send(d, connection, &m);
}

void workers_end_all(struct dispatcher *d, uint64_t now_ns)
{
    while (d->session_count) {
        struct session *s = d->sessions[0];
        if (s->connection)
            send_again(d, s->connection, s->id);
        workers_end(d, s, false, now_ns);
    }
}

/* ---- JOIN ---- */

struct truth {
    struct session *session;
    struct session *before; /* the session it continues, if that is still known */
    bool is_of_earlier_life;
    struct seqset kill;
    struct seqset have;
};

/* One task that the worker says it has. */
static bool adopt(struct dispatcher *d, struct truth *t, uint64_t seq, struct attempt attempt,
                  bool finished)
{
    struct entry *entry = ledger_find(&d->ledger, seq);
    bool unwanted = seqset_has(&d->judged, seq) || d->halt.when == HALT_NOW;
    if (!entry || d->settled || (unwanted && !finished))
        return false;
    struct story *story = ledger_make_story(&d->ledger, entry, seq, d->options.incarnation);
    if (t->before) {
        story_remove_holder(story, t->before);
        session_forget(t->before, seq, seq);
    }
    if (!story_add_holder(story, (struct holder){t->session, attempt, 0}))
        return false;
    if (t->is_of_earlier_life)
        audit_doubt(d, seq);
    handout_unqueue(d, seq, seq);
    session_has(t->session, seq, finished);
    workers_note_use(d, t->session);
    return true;
}

static void adopt_running(struct dispatcher *d, struct truth *t, const struct attempt_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (!adopt(d, t, list->items[i].seq, list->items[i].attempt, false))
            seqset_add(&t->kill, list->items[i].seq, list->items[i].seq);
}

/* Kept results are the worker's proof, not ours: what was not read (in this life there was no room
 * for it, or it is not true) is let go, and a hostile range costs no more than the ledger is long. */
static void adopt_kept(struct dispatcher *d, struct truth *t, const struct seqset *kept)
{
    for (size_t i = 0; i < kept->count; i++) {
        struct range r = kept->ranges[i], stored;
        if (r.last > d->ledger.read) {
            uint64_t next = d->ledger.read + 1;
            seqset_add(&t->have, r.first > next ? r.first : next, r.last);
            r.last = d->ledger.read;
        }
        for (uint64_t at = r.first; seqset_next(&d->ledger.stored, at, r.last, &stored);
             at = stored.last + 1)
            seqset_add(&t->have, stored.first, stored.last);
        struct range open;
        for (uint64_t at = r.first;
             at <= r.last && seqset_next_gap(&d->ledger.stored, at, r.last, &open);
             at = open.last + 1)
            for (uint64_t seq = open.first; seq <= open.last; seq++)
                if (!adopt(d, t, seq, (struct attempt){0}, true))
                    seqset_add(&t->have, seq, seq); /* enough others have it: it is let go */
    }
}

/* A task with a loss is alone where it runs, also after its worker has joined anew. */
static void keep_alone(struct dispatcher *d, struct session *s)
{
    struct range r;
    for (uint64_t at = 1; seqset_next(&s->out, at, UINT64_MAX - 1, &r); at = r.first + 1) {
        struct story *story = entry_story(ledger_find(&d->ledger, r.first), r.first);
        if (story && story->losses && !seqset_has(&s->finished, r.first))
            s->alone = r.first;
    }
    handout_note(d, s);
}

static void welcome(struct dispatcher *d, const struct truth *t)
{
    struct worker_welcome m = {.heartbeat_ms = d->options.heartbeat_ns / NS_PER_MS,
                               .limit_ms = d->options.limit_ns / NS_PER_MS,
                               .lanes = bytes_of(d->lanes),
                               .wants = d->sink.wants,
                               .epoch = d->sink.connection ? d->sink.epoch : 0,
                               .results = bytes_of(d->sink.results),
                               .kill = t->kill,
                               .have = t->have};
    struct buf to = {0};
    wire_begin(&to, KIND_WELCOME, dispatcher_head(d, KIND_WELCOME, t->session->id));
    worker_welcome_put(&to, &m);
    dispatcher_send(d, t->session->connection, &to);
}

/* A session that a JOIN replaces: of the same process, whichever it names, or of the same
 * connection. */
static struct session *replaced(struct dispatcher *d, uint64_t instance, uint64_t connection)
{
    struct session *s = instance ? index_get(&d->by_instance, instance) : NULL;
    return s ? s : index_get(&d->by_connection, connection);
}

static void take_in(struct dispatcher *d, uint64_t connection, struct frame_head head,
                    const struct worker_join *join, uint64_t now_ns)
{
    bool ours = head.job == d->job && head.incarnation == d->options.incarnation;
    struct truth t = {.before = replaced(d, join->peer.instance, connection),
                      .is_of_earlier_life = !ours && !d->sink.is_volatile};
    t.session = session_new(++d->last_id, connection, &join->peer, join->slots, now_ns);
    t.session->leaving = join->flags & WORKER_LEAVING;
    d->executor = join->executor;
    if (head.job == d->job) {
        adopt_running(d, &t, &join->running);
        adopt_kept(d, &t, &join->kept);
    } else {
        for (size_t i = 0; i < join->running.count; i++)
            seqset_add(&t.kill, join->running.items[i].seq, join->running.items[i].seq);
        seqset_add_all(&t.have, &join->kept);
    }
    if (t.before)
        session_runs_on(t.session, t.before);
    while (t.before) {
        workers_end(d, t.before, false, now_ns);
        t.before = replaced(d, join->peer.instance, connection);
    }
    add_session(d, t.session);
    if (ours)
        losses_refund(d, head.session);
    keep_alone(d, t.session);
    welcome(d, &t);
    seqset_free(&t.kill);
    seqset_free(&t.have);
    dispatcher_moved(d, now_ns);
}

static void let_wait(struct dispatcher *d, uint64_t connection, struct bytes message)
{
    remove_waiting(d, connection);
    d->waiting = xrealloc(d->waiting, (d->waiting_count + 1) * sizeof *d->waiting);
    d->waiting[d->waiting_count++] = (struct waiting_join){connection, block_copy(message)};
}

/* What a worker has from an earlier life must have been read to be known. */
static void want_what_it_has(struct dispatcher *d, struct frame_head head,
                             const struct worker_join *join)
{
    if (head.job != d->job || head.incarnation == d->options.incarnation || d->sink.is_volatile)
        return;
    audit_want(d, seqset_max(&join->kept));
    for (size_t i = 0; i < join->running.count; i++)
        audit_want(d, join->running.items[i].seq);
}

/* Before there is a job, and while its input is read again. */
static bool must_wait(struct dispatcher *d, struct frame_head head, const struct worker_join *join)
{
    if (d->job)
        want_what_it_has(d, head, join);
    return !d->job || audit_reads(d);
}

void workers_join(struct dispatcher *d, uint64_t connection, struct frame_head head,
                  struct bytes message, struct bytes body, uint64_t now_ns)
{
    struct worker_join join = {0};
    if (worker_join_take(body, &join)) {
        d->dropped++;
    } else if (d->closed || (d->stopping && !join.running.count && seqset_empty(&join.kept))) {
        dispatcher_refuse(d, connection, REFUSE_OVER, "the job is over");
    } else if (d->session_count + d->waiting_count >= d->options.workers_max &&
               !replaced(d, join.peer.instance, connection)) {
        dispatcher_refuse(d, connection, REFUSE_FULL,
                          "the ventilator has as many workers as --workers-max allows");
    } else if (must_wait(d, head, &join)) {
        let_wait(d, connection, message);
    } else {
        take_in(d, connection, head, &join, now_ns);
    }
    worker_join_free(&join);
}

typedef void joined_fn(struct dispatcher *d, uint64_t connection, struct frame_head head,
                       const struct worker_join *join, uint64_t now_ns);

static void with_join(struct dispatcher *d, const struct waiting_join *w, joined_fn *call,
                      uint64_t now_ns)
{
    struct frame_head head;
    struct bytes body;
    struct worker_join join = {0};
    if (!frame_take(block_bytes(w->message), &head, &body) && !worker_join_take(body, &join))
        call(d, w->connection, head, &join, now_ns);
    worker_join_free(&join);
}

static void want(struct dispatcher *d, uint64_t connection, struct frame_head head,
                 const struct worker_join *join, uint64_t now_ns)
{
    (void)connection, (void)now_ns;
    want_what_it_has(d, head, join);
}

void workers_welcome_waiting(struct dispatcher *d, uint64_t now_ns)
{
    for (size_t i = 0; i < d->waiting_count; i++)
        with_join(d, &d->waiting[i], want, now_ns);
    if (audit_reads(d))
        return;
    size_t count = d->waiting_count;
    d->waiting_count = 0;
    for (size_t i = 0; i < count; i++) { /* of two of one process, the later one stays */
        struct waiting_join w = d->waiting[i];
        with_join(d, &w, take_in, now_ns);
        block_release(&w.message);
    }
}

/* ---- what a session says ---- */

/* Octets that we have made up at random ourselves; 0 is no key. */
static uint64_t token_key(const struct token *token)
{
    uint64_t key;
    memcpy(&key, token, sizeof key);
    return key ? key : 1;
}

static void forget_opened(struct dispatcher *d, uint64_t lane)
{
    struct opened_lane *opened = index_get(&d->opened, lane);
    if (!opened)
        return;
    index_remove(&d->opened, lane);
    if (index_get(&d->opened_by_token, token_key(&opened->token)) == opened)
        index_remove(&d->opened_by_token, token_key(&opened->token));
    free(opened);
}

static void claim(struct dispatcher *d, struct session *s, struct bytes body)
{
    struct token token;
    if (token_take(body, &token) || s->lane_claimed) {
        d->dropped++;
        return;
    }
    const struct opened_lane *opened = index_get(&d->opened_by_token, token_key(&token));
    if (!opened || memcmp(&opened->token, &token, sizeof token) != 0) {
        send_again(d, s->connection, s->id); /* that lane is gone: join anew */
        return;
    }
    s->lane = opened->lane;
    s->lane_claimed = true;
    forget_opened(d, s->lane);
    index_set(&d->by_lane, s->lane, s);
    dispatcher_act(d, DISPATCHER_CLAIM_LANE, s->lane);
    if (s->leaving || d->stopping)
        workers_lane_end(d, s);
}

void workers_lane_end(struct dispatcher *d, struct session *s)
{
    if (s->ended || !s->lane)
        return;
    struct buf m = {0};
    wire_begin(&m, KIND_END, dispatcher_head(d, KIND_END, s->id));
    number_put(&m, s->batch);
    dispatcher_send_lane(d, s->lane, block_new(&m));
    s->ended = true;
    handout_note(d, s);
}

static void heartbeat(struct dispatcher *d, struct session *s, struct bytes body, uint64_t now_ns)
{
    struct heartbeat m = {0};
    if (heartbeat_take(body, &m)) {
        d->dropped++;
    } else {
        session_runs(s, &m.running, HEARTBEAT_RUNNING_MS * NS_PER_MS, now_ns);
        struct heartbeat answer = {.clock_ns = m.clock_ns};
        struct buf to = {0};
        wire_begin(&to, KIND_HEARTBEAT, dispatcher_head(d, KIND_HEARTBEAT, s->id));
        heartbeat_put(&to, &answer);
        dispatcher_send(d, s->connection, &to);
    }
    heartbeat_free(&m);
}

static void credit(struct dispatcher *d, struct session *s, struct bytes body)
{
    struct credit m;
    if (credit_take(body, &m)) {
        d->dropped++;
        return;
    }
    /* Running totals only grow: an old one that comes late does no harm. */
    if (m.tasks > s->granted.tasks)
        s->granted.tasks = m.tasks;
    if (m.size_bytes > s->granted.size_bytes)
        s->granted.size_bytes = m.size_bytes;
    if (m.reserve > s->granted.reserve)
        s->granted.reserve = m.reserve;
}

/* The part of `named` that the session has and has not finished. */
static void still_open(const struct session *s, const struct seqset *named, struct seqset *open)
{
    struct range r;
    for (size_t i = 0; i < named->count; i++)
        for (uint64_t at = named->ranges[i].first;
             at <= named->ranges[i].last && seqset_next(&s->out, at, named->ranges[i].last, &r);
             at = r.last + 1)
            seqset_add(open, r.first, r.last);
    seqset_remove_all(open, &s->finished);
}

/* So many tasks are reported done, or failed. */
static void note_pace(struct dispatcher *d, struct session *s, uint64_t tasks, uint64_t now_ns)
{
    uint64_t time_ns = now_ns > s->pace_from_ns ? now_ns - s->pace_from_ns : 0;
    if (!tasks)
        return;
    pace_add(&s->pace, time_ns, tasks, PACE_WINDOW_NS);
    pace_add(&d->slot_pace, time_ns * s->slots, tasks, PACE_WINDOW_NS * d->session_count);
    s->pace_from_ns = now_ns;
}

static void finished(struct dispatcher *d, struct session *s, struct bytes body, uint64_t now_ns)
{
    struct finished m = {0};
    struct seqset open = {0};
    if (finished_take(body, &m)) {
        d->dropped++;
    } else {
        still_open(s, &m.tasks, &open);
        seqset_add_all(&s->finished, &open);
        note_pace(d, s, m.tasks.members, now_ns);
        if (seqset_has(&open, s->alone))
            s->alone = 0;
        s->fails_in_a_row = m.failed < open.members ? 0 : s->fails_in_a_row + open.members;
        /* What is stored already was told before the worker had it to tell: tell it again. */
        struct range r;
        for (size_t i = 0; i < m.tasks.count; i++)
            for (uint64_t at = m.tasks.ranges[i].first, last = m.tasks.ranges[i].last;
                 at <= last && seqset_next(&d->ledger.stored, at, last, &r); at = r.last + 1)
                seqset_add(&s->release, r.first, r.last);
        dispatcher_want_flush(d, s);
        dispatcher_moved(d, now_ns);
    }
    finished_free(&m);
    seqset_free(&open);
}

static bool holds_attempt(struct dispatcher *d, struct session *s, uint64_t seq,
                          struct attempt attempt)
{
    if (!seqset_has(&s->out, seq))
        return false;
    struct entry *entry = ledger_find(&d->ledger, seq);
    struct story *story = entry ? entry_story(entry, seq) : NULL;
    if (!story)
        return attempt.incarnation == d->options.incarnation && attempt.number == 1;
    struct holder *holder = story_holder(story, s);
    return holder && attempt_equal(holder->attempt, attempt);
}

static void failed(struct dispatcher *d, struct session *s, struct bytes body, uint64_t now_ns)
{
    struct attempt_list m = {0};
    if (attempt_list_take(body, &m))
        d->dropped++;
    else
        note_pace(d, s, m.count, now_ns);
    for (size_t i = 0; i < m.count; i++)
        if (holds_attempt(d, s, m.items[i].seq, m.items[i].attempt))
            handout_failed(d, s, m.items[i].seq, now_ns);
    attempt_list_free(&m);
}

static void returned(struct dispatcher *d, struct session *s, struct bytes body, uint64_t now_ns)
{
    struct returned m = {0};
    struct seqset open = {0};
    if (returned_take(body, &m)) {
        d->dropped++;
    } else {
        still_open(s, &m.tasks, &open);
        for (size_t i = 0; i < open.count; i++)
            for (uint64_t seq = open.ranges[i].first; seq <= open.ranges[i].last; seq++)
                handout_take_back(d, s, seq);
        recall_answered(s, open.members, now_ns);
        if (m.reason == RETURNED_NOT_STARTED)
            s->leaving = true;
        if (open.members)
            dispatcher_moved(d, now_ns);
    }
    returned_free(&m);
    seqset_free(&open);
}

void workers_message(struct dispatcher *d, struct session *s, enum wire_kind kind,
                     struct bytes body, uint64_t now_ns)
{
    s->heard_at_ns = now_ns;
    if (kind == KIND_HEARTBEAT)
        heartbeat(d, s, body, now_ns);
    else if (kind == KIND_CREDIT)
        credit(d, s, body);
    else if (kind == KIND_CLAIM)
        claim(d, s, body);
    else if (kind == KIND_FINISHED)
        finished(d, s, body, now_ns);
    else if (kind == KIND_FAILED)
        failed(d, s, body, now_ns);
    else if (kind == KIND_RETURNED)
        returned(d, s, body, now_ns);
    else if (kind == KIND_LEAVE) {
        s->leaving = true;
        workers_lane_end(d, s);
    } else if (kind == KIND_BYE) {
        workers_end(d, s, false, now_ns);
        return;
    } else
        d->dropped++;
    handout_note(d, s);
}

/* ---- connections and time ---- */

static void closed_half(struct dispatcher *d, struct session *s, uint64_t now_ns)
{
    if (s->connection == 0 && s->lane == 0)
        workers_end(d, s, s->lane_claimed, now_ns);
    else if (s->half_closed_at_ns == NEVER)
        s->half_closed_at_ns = now_ns;
}

void dispatcher_control_closed(struct dispatcher *d, uint64_t connection, uint64_t now_ns)
{
    remove_waiting(d, connection);
    if (d->sink.connection == connection)
        sinkside_closed(d, now_ns);
    struct session *s = index_get(&d->by_connection, connection);
    index_remove(&d->by_connection, connection);
    if (!s)
        return;
    s->connection = 0;
    handout_note(d, s);
    closed_half(d, s, now_ns);
}

void dispatcher_lane_opened(struct dispatcher *d, uint64_t lane, struct token token,
                            uint64_t now_ns)
{
    (void)now_ns;
    struct opened_lane opened = {lane, token};
    struct opened_lane *kept = xmemdup(&opened, sizeof opened);
    index_set(&d->opened, lane, kept);
    index_set(&d->opened_by_token, token_key(&token), kept);
    struct buf m = {0};
    wire_begin(&m, KIND_HELLO, dispatcher_head(d, KIND_HELLO, 0));
    token_put(&m, &token);
    dispatcher_send_lane(d, lane, block_new(&m));
}

void dispatcher_lane_closed(struct dispatcher *d, uint64_t lane, uint64_t now_ns)
{
    forget_opened(d, lane);
    struct session *s = index_get(&d->by_lane, lane);
    index_remove(&d->by_lane, lane);
    if (!s)
        return;
    s->lane = 0;
    handout_note(d, s);
    closed_half(d, s, now_ns);
}

static bool is_gone(const struct dispatcher *d, const struct session *s, uint64_t now_ns)
{
    uint64_t limit_ns = d->options.limit_ns;
    return now_ns > s->heard_at_ns + limit_ns ||
           (s->half_closed_at_ns != NEVER && now_ns > s->half_closed_at_ns + limit_ns);
}

/* Whoever is heard later, is closed later or comes later, is given up later than was found here: so the next
 * search can wait until then. */
static void end_silent(struct dispatcher *d, uint64_t now_ns)
{
    d->silent_from_ns = now_ns + d->options.limit_ns;
    for (size_t i = d->session_count; i-- > 0;) {
        struct session *s = d->sessions[i];
        if (is_gone(d, s, now_ns)) {
            dispatcher_say(d, "worker %s on %s is silent, its tasks go to others tasks=%llu",
                           s->name, s->host, (unsigned long long)s->out.members);
            workers_end(d, s, false, now_ns);
            continue;
        }
        uint64_t since_ns =
            s->half_closed_at_ns < s->heard_at_ns ? s->half_closed_at_ns : s->heard_at_ns;
        if (since_ns + d->options.limit_ns < d->silent_from_ns)
            d->silent_from_ns = since_ns + d->options.limit_ns;
    }
}

void workers_turn(struct dispatcher *d, uint64_t now_ns)
{
    if (d->waiting_count && d->job && d->sink.ready && !audit_reads(d))
        workers_welcome_waiting(d, now_ns);
    if (now_ns >= d->silent_from_ns)
        end_silent(d, now_ns);
    losses_turn(d, now_ns);
}
