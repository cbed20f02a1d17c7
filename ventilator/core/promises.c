/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/core/promises.h"

#include "common/base/clock.h"
#include "ventilator/core/dispatcher_actions.h"
#include "ventilator/core/dispatcher_state.h"
#include "ventilator/core/pending.h"
#include "ventilator/core/protests.h"
#include "ventilator/core/session_end.h"

/* Results against what was handed out (docs/protocol.md, 15). The sink cannot know who was handed what, and
 * says from which session it has taken results. From that two things are seen: results of tasks that the
 * session never had, and tasks that it reported finished, but whose results do not come. */

enum {
    PROMISE_LIMITS = 10, /* so many times the limit of silence */
    BROKEN_MAX = 3       /* sessions of one process in a row that ended so; then it is refused */
};

/* ---- what was never handed out ---- */

/* What it has, or had before it was taken back, it may have done. */
static void check_origin(struct dispatcher *d, struct session *s, const struct seqset *tasks)
{
    struct seqset strange = {0};
    for (size_t i = 0; i < tasks->count; i++) {
        uint64_t first = tasks->ranges[i].first, last = tasks->ranges[i].last;
        if (seqset_count_in(&s->out, first, last) < last - first + 1)
            seqset_add(&strange, first, last);
    }
    if (!seqset_empty(&strange)) {
        seqset_remove_all(&strange, &s->out);
        seqset_remove_all(&strange, &s->had);
    }
    if (!seqset_empty(&strange))
        protests_strange(d, s, &strange);
    seqset_free(&strange);
}

/* Whoever else has a result of these has promised nothing more: the sink drops it. */
static void note_taken(struct dispatcher *d, const struct seqset *tasks)
{
    struct range open;
    for (size_t i = 0; i < tasks->count; i++) {
        uint64_t first = tasks->ranges[i].first, last = tasks->ranges[i].last;
        last = last < d->ledger.read ? last : d->ledger.read;
        for (uint64_t at = first; at <= last && seqset_next_gap(&d->ledger.stored, at, last, &open);
             at = open.last + 1)
            seqset_add(&d->sink.taken, open.first, open.last);
    }
}

void promises_note(struct dispatcher *d, const struct stored_note *m, uint64_t now_ns)
{
    for (size_t i = 0; i < m->origin_count; i++) {
        struct session *s = index_get(&d->sessions.by_id, m->origins[i].session);
        note_taken(d, &m->origins[i].tasks);
        if (!s)
            continue; /* it is over: what it had is not known any more */
        check_origin(d, s, &m->origins[i].tasks);
        s->promise.kept_at_ns = now_ns;
        s->promise.broken = 0;
    }
    for (size_t i = 0; i < m->received_count; i++) {
        struct session *s = index_get(&d->sessions.by_id, m->received[i].session);
        if (s)
            s->promise.kept_at_ns = now_ns;
    }
    d->sink.says.is_pausing = m->flags & (STORED_NOT_READING | STORED_UNREAD | STORED_NO_ROOM);
}

/* ---- what was finished, and never came ---- */

/* Reported as finished, and neither stored nor taken by the sink. */
static void open_promises(const struct dispatcher *d, const struct session *s, struct seqset *open)
{
    if (seqset_empty(&s->finished))
        return;
    seqset_copy(open, &s->finished);
    seqset_remove_all(open, &d->sink.taken);
}

static bool sink_takes_results(const struct dispatcher *d, uint64_t now_ns)
{
    return d->sink.ready && !d->sink.says.is_pausing &&
           now_ns <= d->sink.heard.at_ns + d->options.limit_ns;
}

static void refuse(struct dispatcher *d, struct session *s, uint64_t now_ns)
{
    static const char sentence[] =
        "again and again it reported tasks as finished whose results did not come";
    dispatcher_refuse(d, s->connection, REFUSE_SENSELESS, sentence);
    dispatcher_say(d, "refused worker %s: %s", session_whereabouts(s).text, sentence);
    session_end(d, s, false, now_ns);
}

/* Others run it; the worker is to join again, which has it send once more what it keeps. */
static void run_elsewhere(struct dispatcher *d, struct session *s, const struct seqset *open)
{
    struct again again = {
        s->id, AGAIN_NO_RESULTS,
        bytes_of("results of tasks that it reported as finished do not come: join again")};
    for (size_t i = 0; i < open->count; i++)
        for (uint64_t seq = open->ranges[i].first; seq <= open->ranges[i].last; seq++)
            pending_take_back(d, s, seq);
    dispatcher_again(d, s->connection, &again);
}

bool promises_heartbeat(struct dispatcher *d, struct session *s, const struct heartbeat *m,
                        uint64_t now_ns)
{
    char more[THROTTLE_WORDS_SIZE];
    struct seqset open = {0};
    bool ends = false;
    open_promises(d, s, &open);
    /* A worker that says that nothing gets through does what it can about it. */
    if (seqset_empty(&open) || m->results_stuck_ms || d->end.settled ||
        !sink_takes_results(d, now_ns))
        s->promise.kept_at_ns = now_ns;
    if (now_ns > s->promise.kept_at_ns + PROMISE_LIMITS * d->options.limit_ns) {
        if (throttle_line(&d->protests.lines, SENSELESS_LINES_A_MINUTE, now_ns))
            dispatcher_say(d,
                           "worker %s reported tasks as finished whose results have not come for "
                           "%llu s, first of "
                           "task %llu: they are run elsewhere tasks=%llu%s",
                           session_whereabouts(s).text,
                           (unsigned long long)((now_ns - s->promise.kept_at_ns) / NS_PER_S),
                           (unsigned long long)seqset_min(&open), (unsigned long long)open.members,
                           throttle_words(&d->protests.lines, more));
        s->promise.kept_at_ns = now_ns;
        ends = ++s->promise.broken == BROKEN_MAX;
        if (ends)
            refuse(d, s, now_ns);
        else
            run_elsewhere(d, s, &open);
    }
    seqset_free(&open);
    return ends;
}
