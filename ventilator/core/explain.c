/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/explain.h"

#include "common/base/clock.h"
#include "ventilator/core/audit.h"
#include "ventilator/core/dispatcher_actions.h"
#include "ventilator/core/dispatcher_state.h"
#include "ventilator/core/job_end.h"
#include "ventilator/core/liveness.h"
#include "ventilator/core/reading.h"
#include "ventilator/core/sentences.h"

enum { STINTS_SHOWN = 8 }; /* of a worker that runs more, all are one group */
/* A worker that joined has its lane and its sink sooner than that. */
#define LACKING_AFTER_NS (1 * NS_PER_S)
/* Within that time the answer is the same one. */
#define SAME_ANSWER_NS (100 * NS_PER_MS)

struct reasons {
    struct sentences job;     /* what holds up all of it; the foremost first */
    struct sentences workers; /* that lack something */
    struct sentences running; /* tasks that are known to run */
    struct sentences waiting; /* all others */
    struct sentences input;   /* one */
};

/* ---- words ---- */

static double explain_seconds(uint64_t from_ns, uint64_t to_ns)
{
    return to_ns > from_ns ? (double)(to_ns - from_ns) / (double)NS_PER_S : 0;
}

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

static bool is_sink_silent(const struct dispatcher *d, uint64_t now_ns)
{
    return now_ns > d->sink.heard.at_ns + d->options.limit_ns;
}

/* Why a result that was made is not stored. */
static struct why storing(const struct dispatcher *d, uint64_t now_ns)
{
    struct why why;
    if (!d->sink.connection)
        fail(&why, ERR_NONE, "the sink is gone");
    else if (is_sink_silent(d, now_ns))
        fail(&why, ERR_NONE, "the sink is silent");
    else if (d->sink.says.has_no_room)
        fail(&why, ERR_NONE, "the sink cannot write it now");
    else if (d->sink.says.is_unread)
        fail(&why, ERR_NONE, "the sink's output is not being read");
    else if (d->sink.says.is_holding)
        fail(&why, ERR_NONE, "the sink takes no more before it has written what it has");
    else if (d->stored_at_ns)
        fail(&why, ERR_NONE, "the sink stored something %.1f s ago",
             explain_seconds(d->stored_at_ns, now_ns));
    else
        fail(&why, ERR_NONE, "the sink has stored nothing so far");
    return why;
}

/* ---- groups of tasks ---- */

/* What those in the queue wait for, when it is the workers. */
static struct why slots_of(const struct dispatcher *d)
{
    struct why why;
    uint64_t open = 0, slots = 0, busy = 0, made = 0;
    for (size_t i = 0; i < d->sessions.count; i++) {
        const struct session *s = d->sessions.items[i];
        if (!s->lane || !s->connection || s->ended || s->leaving)
            continue;
        uint64_t unfinished = session_unfinished(s), usable = session_usable_slots(s);
        bool full = unfinished > usable || s->isolation.task || s->isolation.is_reserved;
        open++;
        slots += s->slots;
        busy += s->slots - (full ? 0 : usable - unfinished);
        made += s->finished.members;
    }
    if (open == 0)
        fail(&why, ERR_NONE, "%s",
             d->sessions.count ? "no worker that is here takes tasks" : "no worker is there");
    else if (busy >= slots)
        fail(&why, ERR_NONE, "no worker has a free slot: %llu worker%s with %llu slot%s",
             (unsigned long long)open, plural(open), (unsigned long long)slots, plural(slots));
    else
        fail(&why, ERR_NONE, "%llu of %llu slots are free; their workers %s",
             (unsigned long long)(slots - busy), (unsigned long long)slots,
             made ? "ask for more when their results are stored" : "are to ask for more");
    return why;
}

/* What those in the queue wait for. */
static struct why queueing(const struct dispatcher *d, uint64_t now_ns)
{
    struct why why;
    if (job_end_is_over(d))
        fail(&why, ERR_NONE, "they are not run any more");
    else if (!d->sink.ready)
        fail(&why, ERR_NONE, "nothing is handed out without a sink");
    else if (audit_reads(d))
        fail(&why, ERR_NONE, "nothing is handed out before the input is compared");
    else if (audit_holds(d, now_ns))
        fail(&why, ERR_NONE, "workers of before have %.1f s more to say what they run",
             explain_seconds(now_ns, d->audit.grace_until_ns));
    else
        why = slots_of(d);
    return why;
}

static void add_queue(const struct dispatcher *d, uint64_t now_ns, struct sentences *groups)
{
    struct why why = queueing(d, now_ns);
    if (seqset_empty(&d->pending.queue))
        return;
    if (d->handed_at_ns)
        sentences_add(groups, &d->pending.queue, "queued; %s; tasks were handed out %.1f s ago",
                      why.text, explain_seconds(d->handed_at_ns, now_ns));
    else
        sentences_add(groups, &d->pending.queue, "queued; %s", why.text);
}

/* Who is kept free for the next task that must be alone. */
static struct why keeping_free(const struct dispatcher *d)
{
    struct why why;
    fail(&why, ERR_NONE, d->sessions.count ? "none can take it now" : "none is there");
    for (size_t i = 0; i < d->sessions.count; i++)
        if (d->sessions.items[i]->isolation.is_reserved) {
            uint64_t left = session_unfinished(d->sessions.items[i]);
            fail(&why, ERR_NONE, "%s gets nothing else and has %llu task%s left to do",
                 session_whereabouts(d->sessions.items[i]).text, (unsigned long long)left,
                 plural(left));
        }
    return why;
}

static const struct story *story_of(const struct dispatcher *d, uint64_t seq)
{
    return entry_story(ledger_find(&d->ledger, seq), seq);
}

static void add_isolated(const struct dispatcher *d, struct sentences *groups)
{
    static const char *const reasons[] = {"it was interrupted again and again",
                                          "one worker died with it", "two workers died with it"};
    struct seqset by_charges[LOSSES_MAX] = {0};
    struct range r;
    for (uint64_t at = 1; seqset_next(&d->pending.isolated, at, UINT64_MAX - 1, &r);
         at = r.first + 1)
        seqset_add(&by_charges[story_of(d, r.first)->losses], r.first, r.first);
    struct why why = keeping_free(d);
    for (size_t i = 0; i < LOSSES_MAX; i++) {
        if (!seqset_empty(&by_charges[i]))
            sentences_add(groups, &by_charges[i],
                          "waiting for a worker that it can have for itself (%s): %s", reasons[i],
                          why.text);
        seqset_free(&by_charges[i]);
    }
}

static void add_delayed(const struct dispatcher *d, uint64_t now_ns, struct sentences *groups)
{
    if (d->pending.delayed.count)
        sentences_add(
            groups, &d->pending.delayed.tasks,
            "failed and waiting for the next try (--retry-delay), the first of them for %.1f s "
            "more",
            explain_seconds(now_ns, delays_next_ns(&d->pending.delayed)));
}

static void add_loss_pending(const struct dispatcher *d, uint64_t now_ns, struct sentences *groups)
{
    uint64_t last_ns = 0;
    struct range r;
    for (uint64_t at = 1; seqset_next(&d->pending.loss_pending, at, UINT64_MAX - 1, &r);
         at = r.first + 1)
        if (story_of(d, r.first)->lost_at_ns > last_ns)
            last_ns = story_of(d, r.first)->lost_at_ns;
    if (!seqset_empty(&d->pending.loss_pending))
        sentences_add(groups, &d->pending.loss_pending,
                      "three workers died with it: lost in %.1f s, unless one of them comes back",
                      explain_seconds(now_ns, last_ns));
}

static void add_loss_reported(const struct dispatcher *d, uint64_t now_ns, struct sentences *groups)
{
    struct seqset died = {0}, interrupted = {0}, large = {0};
    struct range r;
    for (uint64_t at = 1; seqset_next(&d->pending.loss_reported, at, UINT64_MAX - 1, &r);
         at = r.first + 1)
        seqset_add(!ledger_find(&d->ledger, r.first)->block     ? &large
                   : story_of(d, r.first)->losses >= LOSSES_MAX ? &died
                                                                : &interrupted,
                   r.first, r.first);
    struct why why = storing(d, now_ns);
    if (!seqset_empty(&died))
        sentences_add(groups, &died, "lost, since three workers died with it; not stored yet: %s",
                      why.text);
    if (!seqset_empty(&interrupted))
        sentences_add(groups, &interrupted,
                      "lost, since it was interrupted again and again; not stored yet: %s",
                      why.text);
    if (!seqset_empty(&large))
        sentences_add(groups, &large,
                      "failed, longer than --task-max (%llu bytes); not stored yet: %s",
                      (unsigned long long)d->options.task_max_bytes, why.text);
    seqset_free(&died);
    seqset_free(&interrupted);
    seqset_free(&large);
}

/* The tasks of a stint that still run, as far as is known. */
static void still_running(const struct session *s, const struct stint *stint, struct seqset *to)
{
    seqset_clear(to);
    seqset_add_part(to, &s->out, stint->tasks.first, stint->tasks.last);
    seqset_remove_all(to, &s->finished);
}

/* Moves the tasks that are run a second time there (--hedge) from `tasks` to `second`. */
static void take_second(const struct dispatcher *d, const struct session *s, struct seqset *tasks,
                        struct seqset *second)
{
    struct range r;
    seqset_clear(second);
    for (uint64_t at = 1; d->options.hedge && seqset_next(tasks, at, UINT64_MAX - 1, &r);
         at = r.first + 1) {
        struct story *story = entry_story(ledger_find(&d->ledger, r.first), r.first);
        const struct holder *holder = story ? story_holder(story, s) : NULL;
        if (holder && story->hedge && holder->attempt.number == story->hedge)
            seqset_add(second, r.first, r.first);
    }
    seqset_remove_all(tasks, second);
}

static void explain_add_stint(const struct session *s, const struct seqset *tasks, const char *how,
                              double for_s, struct sentences *groups)
{
    if (!seqset_empty(tasks))
        sentences_add(groups, tasks, "running %son %s for %.1f s", how, session_whereabouts(s).text,
                      for_s);
}

/* What runs and does not get on by itself has a sentence of its own, and is no more one of `tasks`. */
static void take_hindered(const struct session *s, struct seqset *tasks, double for_s,
                          struct sentences *groups)
{
    struct seqset some = {0};
    struct range r;
    for (size_t i = 0; i < s->running.held_count; i++) {
        uint64_t seq = s->running.held[i].seq;
        if (!seqset_remove(tasks, seq, seq))
            continue;
        seqset_clear(&some);
        seqset_add(&some, seq, seq);
        sentences_add(
            groups, &some,
            "its process on %s has ended, and its output is still held %s; it began %.1f s ago",
            session_whereabouts(s).text, s->running.held[i].by, for_s);
    }
    seqset_clear(&some);
    for (uint64_t at = 1; seqset_next(&s->running.stopped, at, UINT64_MAX - 1, &r); at = r.last + 1)
        for (uint64_t seq = r.first; seq <= r.last; seq++)
            if (seqset_remove(tasks, seq, seq))
                seqset_add(&some, seq, seq);
    if (!seqset_empty(&some))
        sentences_add(groups, &some,
                      "running on %s for %.1f s: its process is stopped (kill -CONT lets it go on)",
                      session_whereabouts(s).text, for_s);
    seqset_free(&some);
}

/* Adds what runs to `running`. */
static void add_stints(const struct dispatcher *d, const struct session *s, uint64_t now_ns,
                       struct sentences *groups, struct seqset *running)
{
    struct seqset tasks = {0}, second = {0};
    uint64_t first_ns = NEVER, last_ns = 0;
    bool each = s->running.stint_count <= STINTS_SHOWN;
    for (size_t i = 0; i < s->running.stint_count; i++) {
        const struct stint *stint = &s->running.stints[i];
        still_running(s, stint, &tasks);
        if (seqset_empty(&tasks))
            continue;
        seqset_add_all(running, &tasks);
        first_ns = stint->since_ns < first_ns ? stint->since_ns : first_ns;
        last_ns = stint->since_ns > last_ns ? stint->since_ns : last_ns;
        if (!each)
            continue;
        take_hindered(s, &tasks, explain_seconds(stint->since_ns, now_ns), groups);
        take_second(d, s, &tasks, &second);
        explain_add_stint(s, &tasks, seqset_has(&tasks, s->isolation.task) ? "alone " : "",
                          explain_seconds(stint->since_ns, now_ns), groups);
        explain_add_stint(s, &second, "a second time, ", explain_seconds(stint->since_ns, now_ns),
                          groups);
    }
    if (!each && !seqset_empty(running))
        sentences_add(groups, running, "running on %s for %.1f to %.1f s",
                      session_whereabouts(s).text, explain_seconds(last_ns, now_ns),
                      explain_seconds(first_ns, now_ns));
    seqset_free(&tasks);
    seqset_free(&second);
}

/* Those that the worker has and of which it has said nothing. */
static void add_begun_or_not(const struct dispatcher *d, const struct session *s,
                             const struct seqset *tasks, uint64_t running, uint64_t now_ns,
                             struct sentences *groups)
{
    struct whereabouts at = session_whereabouts(s);
    uint64_t silence_ns = liveness_lane_silence_ns(d, s, now_ns);
    if (s->joins_anew)
        sentences_add(groups, tasks, "at %s, which is to join again and say what it has", at.text);
    else if (silence_ns)
        sentences_add(
            groups, tasks,
            "at %s, whose lane has taken nothing for %.1f s: it is closed when that lasts, "
            "and what "
            "has not arrived goes elsewhere",
            at.text, (double)silence_ns / (double)NS_PER_S);
    else if (s->ended)
        sentences_add(groups, tasks,
                      "at %s, which finishes what it has begun and gives back the rest", at.text);
    else if (running >= session_usable_slots(s))
        sentences_add(
            groups, tasks,
            "at %s, behind what runs there: its %llu slot%s busy; who has a free one gets it",
            at.text, (unsigned long long)s->slots, s->slots == 1 ? " is" : "s are");
    else
        sentences_add(groups, tasks, "at %s, begun within the last second or about to be", at.text);
}

/* The task that is on its way there in pieces, and no more one of `tasks`. */
static void add_transfer(const struct session *s, struct seqset *tasks, struct sentences *groups)
{
    const struct transfer *t = &s->transfer;
    struct seqset task = {0};
    if (!t->block || !seqset_remove(tasks, t->run.first, t->run.first))
        return;
    seqset_add(&task, t->run.first, t->run.first);
    sentences_add(groups, &task, "on its way to %s: %.1f of %.1f MB are sent",
                  session_whereabouts(s).text, (double)t->offset / 1e6,
                  (double)t->record.size / 1e6);
    seqset_free(&task);
}

static void add_session(const struct dispatcher *d, const struct session *s, uint64_t now_ns,
                        struct reasons *r)
{
    struct seqset rest = {0}, running = {0};
    add_stints(d, s, now_ns, &r->running, &running);
    if (!seqset_empty(&s->finished) && s->results.stuck_ms)
        sentences_add(&r->waiting, &s->finished,
                      "result made by %s, which has not reached the sink for %.1f s: it is run "
                      "elsewhere when "
                      "that lasts",
                      session_whereabouts(s).text, (double)s->results.stuck_ms / 1e3);
    else if (!seqset_empty(&s->finished))
        sentences_add(&r->waiting, &s->finished, "result made by %s, not stored yet: %s",
                      session_whereabouts(s).text, storing(d, now_ns).text);
    seqset_copy(&rest, &s->out);
    seqset_remove_all(&rest, &s->finished);
    seqset_remove_all(&rest, &running);
    add_transfer(s, &rest, &r->waiting);
    if (!seqset_empty(&rest))
        add_begun_or_not(d, s, &rest, running.members, now_ns, &r->waiting);
    seqset_free(&rest);
    seqset_free(&running);
}

/* ---- what the whole job lacks ---- */

static void add_sink(const struct dispatcher *d, uint64_t now_ns, struct sentences *job)
{
    double left_s = explain_seconds(now_ns, d->sink.absent_since_ns + d->options.give_up_ns);
    if (d->sink.instance == 0)
        sentences_add(job, NULL, "no sink has joined yet%s%s; given up in %.0f s",
                      d->endpoint ? ": start one with: zfarm-sink --connect " : "",
                      d->endpoint ? d->endpoint : "", left_s);
    else if (!d->sink.connection)
        sentences_add(job, NULL,
                      "the sink is gone for %.1f s; it is waited for, given up in %.0f s",
                      explain_seconds(d->sink.absent_since_ns, now_ns), left_s);
    else if (is_sink_silent(d, now_ns))
        sentences_add(job, NULL,
                      "the sink has been silent for %.1f s: is it stopped, or its disk hung?",
                      explain_seconds(d->sink.heard.at_ns, now_ns));
    else if (!d->sink.ready)
        sentences_add(job, NULL, "the sink has joined, and is to say what it has stored");
    if (d->sink.says.has_no_room)
        sentences_add(
            job, NULL,
            "the sink cannot write what it gets: it says why, and tries again each second");
    if (d->sink.says.is_unread)
        sentences_add(job, NULL,
                      "the sink's output is not being read: it goes on when its reader does");
}

static void add_audit(const struct dispatcher *d, struct sentences *job)
{
    if (d->sink.ready && audit_reads(d))
        sentences_add(job, NULL,
                      "the input is read again and compared with what is stored: %llu tasks so far",
                      (unsigned long long)d->ledger.read);
}

/* Where the task is that -k waits for: the lowest that is not stored. */
static void add_order(const struct dispatcher *d, const struct reasons *r, struct sentences *job)
{
    struct range lowest;
    if (!d->sink.says.order_full || !seqset_next_gap(&d->ledger.stored, 1, UINT64_MAX - 1, &lowest))
        return;
    const struct sentences *lists[] = {&r->running, &r->waiting};
    for (size_t i = 0; i < 2; i++)
        for (size_t j = 0; j < lists[i]->count; j++) {
            const struct because_item *item = &lists[i]->items[j];
            if (!seqset_has(&item->tasks, lowest.first))
                continue;
            sentences_add(job, NULL, "the order window (-k) is full: it waits for task %llu: %.*s",
                          (unsigned long long)lowest.first, (int)item->sentence.size,
                          (const char *)item->sentence.data);
            return;
        }
    sentences_add(job, NULL, "the order window (-k) is full: it waits for task %llu",
                  (unsigned long long)lowest.first);
}

static void add_job(const struct dispatcher *d, uint64_t now_ns, struct reasons *r)
{
    add_sink(d, now_ns, &r->job);
    add_audit(d, &r->job);
    if (d->end.done_sent)
        sentences_add(&r->job, NULL,
                      "all is stored: the sink is to write it out and close the job");
    else if (d->sessions.count == 0 && d->waiting.count == 0)
        sentences_add(&r->job, NULL, "%s%s%s",
                      d->sessions.workers_seen ? "all workers are gone"
                                               : "no worker has joined yet",
                      d->endpoint ? ": start one with: zfarm-worker --connect " : "",
                      d->endpoint ? d->endpoint : "");
    else if (d->waiting.count)
        sentences_add(&r->job, NULL, "%zu worker%s joined, and wait%s to be taken in",
                      d->waiting.count, d->waiting.count == 1 ? " has" : "s have",
                      d->waiting.count == 1 ? "s" : "");
    add_order(d, r, &r->job);
}

static void add_input(const struct dispatcher *d, struct sentences *input)
{
    unsigned long long unstored = d->ledger.read - d->ledger.stored.members;
    if (d->end.stopping)
        sentences_add(input, NULL, "input: not read on, the job is being stopped (%s)",
                      d->end.stop_why.text);
    else if (d->reading.ended)
        sentences_add(input, NULL, "input: read to its end");
    else if (!d->sink.ready)
        sentences_add(input, NULL, "input: read when a sink is there");
    else if (d->sink.says.order_full)
        sentences_add(input, NULL, "input: read on when the order window has room");
    else if (reading_is_full(d))
        sentences_add(input, NULL,
                      "input: read on when something is stored: %llu tasks of %zu bytes are not "
                      "(--queue-max)",
                      unstored, d->ledger.bytes);
    else if (d->reading.dry || d->reading.asked)
        sentences_add(input, NULL, "input: waits for more of %s, which is not at its end",
                      d->reading.name);
    else
        sentences_add(input, NULL, "input: read on when a worker asks for more tasks");
}

/* ---- what a worker lacks ---- */

static void add_worker(const struct dispatcher *d, const struct session *s, uint64_t now_ns,
                       struct sentences *workers)
{
    struct whereabouts at = session_whereabouts(s);
    uint64_t limit_ns = liveness_limit(d, s);
    bool is_new = now_ns < s->joined_at_ns + LACKING_AFTER_NS;
    if (s->errors.count)
        sentences_add(workers, NULL, "worker %s: %llu of its messages made no sense; the last: %s",
                      at.text, (unsigned long long)s->errors.count, s->errors.last);
    if (s->half_closed_at_ns != NEVER)
        sentences_add(
            workers, NULL,
            "worker %s: its %s connection is closed for %.1f s; its tasks go to others in "
            "%.1f s, unless it joins again",
            at.text, s->connection ? "lane's" : "control",
            explain_seconds(s->half_closed_at_ns, now_ns),
            explain_seconds(now_ns, s->half_closed_at_ns + limit_ns));
    else if (now_ns > s->heard.at_ns + 2 * d->options.heartbeat_ns)
        sentences_add(
            workers, NULL,
            "worker %s: silent for %.1f s; its tasks go to others in %.1f s, unless it speaks",
            at.text, explain_seconds(s->heard.at_ns, now_ns),
            explain_seconds(now_ns, s->heard.at_ns + limit_ns));
    else if (s->leaving)
        sentences_add(workers, NULL, "worker %s: is leaving, and gets no more tasks", at.text);
    else if (!s->lane_claimed && !is_new)
        sentences_add(
            workers, NULL,
            "worker %s: joined %.1f s ago and has not reached its lane, %s%s: can it connect "
            "there?",
            at.text, explain_seconds(s->joined_at_ns, now_ns),
            d->lanes[0] >= '0' && d->lanes[0] <= '9' ? "port " : "", d->lanes);
    else if (s->lane_state.rests_until_ns > now_ns)
        sentences_add(workers, NULL,
                      "worker %s: what is sent down its lane does not arrive, again and again: it "
                      "gets tasks again in %.1f s",
                      at.text, explain_seconds(now_ns, s->lane_state.rests_until_ns));
    else if (s->results.stuck_ms)
        sentences_add(
            workers, NULL,
            "worker %s: nothing of its results has reached the sink, %s%s, for %.1f s; it gets no "
            "tasks until something does: can it connect there?",
            at.text,
            d->sink.terms.results[0] >= '0' && d->sink.terms.results[0] <= '9' ? "port " : "",
            d->sink.terms.results, (double)s->results.stuck_ms / 1e3);
    else if (!s->credit.granted.tasks && !s->credit.granted.reserve && !is_new)
        sentences_add(
            workers, NULL,
            "worker %s: joined %.1f s ago and takes nothing before it has reached the sink, "
            "%s%s: can it connect there?",
            at.text, explain_seconds(s->joined_at_ns, now_ns),
            d->sink.terms.results[0] >= '0' && d->sink.terms.results[0] <= '9' ? "port " : "",
            d->sink.terms.results);
}

/* ---- all of it ---- */

static void collect(const struct dispatcher *d, uint64_t now_ns, struct reasons *r)
{
    add_queue(d, now_ns, &r->waiting);
    add_isolated(d, &r->waiting);
    add_delayed(d, now_ns, &r->waiting);
    add_loss_pending(d, now_ns, &r->waiting);
    add_loss_reported(d, now_ns, &r->waiting);
    for (size_t i = 0; i < d->sessions.count; i++) {
        add_session(d, d->sessions.items[i], now_ns, r);
        add_worker(d, d->sessions.items[i], now_ns, &r->workers);
    }
    sentences_sort(&r->running);
    sentences_sort(&r->waiting);
    add_job(d, now_ns, r);
    add_input(d, &r->input);
}

static void reasons_free(struct reasons *r)
{
    sentences_free(&r->job);
    sentences_free(&r->workers);
    sentences_free(&r->running);
    sentences_free(&r->waiting);
    sentences_free(&r->input);
}

bool dispatcher_waits_for(const struct dispatcher *d, uint64_t now_ns, struct why *why)
{
    struct reasons r = {0};
    if (d->end.closed || d->end.exited)
        return false;
    collect(d, now_ns, &r);
    const struct sentences *by_weight[] = {&r.job, &r.running, &r.workers, &r.waiting, &r.input};
    size_t at = 0;
    while (by_weight[at]->count == 0)
        at++;
    const struct because_item *item = &by_weight[at]->items[0];
    uint64_t left = d->ledger.read - d->ledger.stored.members, first = seqset_min(&item->tasks);
    int size = (int)item->sentence.size;
    const char *sentence = (const char *)item->sentence.data;
    if (first)
        fail(why, ERR_NONE, "%llu task%s not stored; task %llu: %.*s", (unsigned long long)left,
             left == 1 ? " is" : "s are", (unsigned long long)first, size, sentence);
    else
        fail(why, ERR_NONE, "%.*s", size, sentence);
    reasons_free(&r);
    return true;
}

static void add_head(const struct dispatcher *d, uint64_t now_ns, struct sentences *head)
{
    if (d->end.closed)
        sentences_add(head, NULL, "the job is over, the workers are told");
    sentences_add(head, NULL,
                  "%llu task%s read, %llu stored, %llu not; nothing has moved for %.1f s",
                  (unsigned long long)d->ledger.read, plural(d->ledger.read),
                  (unsigned long long)d->ledger.stored.members,
                  (unsigned long long)(d->ledger.read - d->ledger.stored.members),
                  explain_seconds(d->moved_at_ns, now_ns));
    if (d->protests.strange.tasks)
        sentences_add(head, NULL,
                      "%llu result%s taken from workers that were never handed the task, the "
                      "first of task %llu from worker %s; --strict-results takes none",
                      (unsigned long long)d->protests.strange.tasks,
                      d->protests.strange.tasks == 1 ? " was" : "s were",
                      (unsigned long long)d->protests.strange.first,
                      d->protests.strange.worker.text);
}

static struct block *make_answer(const struct dispatcher *d, uint64_t now_ns)
{
    struct reasons r = {0};
    struct sentences all = {0};
    struct buf to = {0};
    collect(d, now_ns, &r);
    add_head(d, now_ns, &all);
    sentences_move(&all, &r.input);
    sentences_move(&all, &r.job);
    sentences_move(&all, &r.workers);
    sentences_move(&r.waiting, &r.running);
    sentences_sort(&r.waiting);
    sentences_move(&all, &r.waiting);
    sentences_cut(&all, BECAUSE_ITEMS_MAX);
    wire_begin(&to, KIND_BECAUSE, dispatcher_head(d, KIND_BECAUSE, 0));
    because_put(&to, &(struct because){all.items, all.count});
    sentences_free(&all);
    reasons_free(&r);
    return block_new(&to);
}

void explain_answer(struct dispatcher *d, uint64_t connection, uint64_t now_ns)
{
    if (d->end.exited)
        return;
    if (!d->answer.block || now_ns >= d->answer.at_ns + SAME_ANSWER_NS) {
        block_release(&d->answer.block);
        d->answer.block = make_answer(d, now_ns);
        d->answer.at_ns = now_ns;
    }
    dispatcher_send_block(d, connection, block_hold(d->answer.block));
}
