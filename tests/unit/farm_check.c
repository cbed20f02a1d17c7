/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/farm_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ventilator/core/standing.h"

#define must(condition, ...)                                                                       \
    do {                                                                                           \
        if (!(condition))                                                                          \
            broken(#condition, __LINE__, __VA_ARGS__);                                             \
    } while (0)

static void broken(const char *condition, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4), noreturn));

static void broken(const char *condition, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "farm_check.c:%d: not so: %s: ", line, condition);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

static bool is_member(const struct dispatcher *d, const struct session *session)
{
    for (size_t i = 0; i < d->sessions.count; i++)
        if (d->sessions.items[i] == session)
            return true;
    return false;
}

static void check_set(const struct seqset *set, const struct seqset *stored, uint64_t read)
{
    uint64_t members = 0;
    for (size_t i = 0; i < set->count; i++) {
        struct range r = set->ranges[i];
        members += r.last - r.first + 1;
        must(r.last <= read, "task %" PRIu64 " was never read", r.last);
        must(!seqset_count_in(stored, r.first, r.last), "a stored task is in a list");
    }
    must(members == set->members, "a set has %" PRIu64 " members", members);
}

/* Its story, or its home, says that the session has it. */
static void check_holding(const struct dispatcher *d, const struct session *s, uint64_t seq)
{
    struct entry *entry = ledger_find(&d->ledger, seq);
    must(entry, "task %" PRIu64 " is held and not in the ledger", seq);
    struct story *story = entry_story(entry, seq);
    if (story)
        must(story_holder(story, s), "task %" PRIu64 " does not know its holder", seq);
    else
        must(entry->home == s, "task %" PRIu64 " is held by a stranger", seq);
}

/* What standing_note keeps is what there is. */
static void check_noted(const struct dispatcher *d, const struct session *s)
{
    for (enum ranking_kind kind = TAKES_NEW; kind < RANKINGS; kind++) {
        const struct ranking *r = &d->standings.takers[kind];
        size_t at = s->standing.rank[kind];
        must((at > 0) == (standing_room(d, s, kind) > 0), "session %" PRIu64, s->id);
        must(!at || r->items[at - 1] == s, "session %" PRIu64, s->id);
        must(at < 2 || r->items[at / 2 - 1]->standing.load <= s->standing.load, "session %" PRIu64,
             s->id);
    }
    must(d->sessions.items[s->at] == s, "session %" PRIu64, s->id);
    must(s->standing.unfinished == session_unfinished(s), "session %" PRIu64, s->id);
    must(s->standing.is_victim == (s->connection && session_unstarted(s)), "session %" PRIu64,
         s->id);
    must(s->standing.succeeds == (s->used && s->fails_in_a_row == 0), "session %" PRIu64, s->id);
}

static void check_session(const struct dispatcher *d, const struct session *s)
{
    check_set(&s->out, &d->ledger.stored, d->ledger.read);
    check_set(&s->finished, &d->ledger.stored, d->ledger.read);
    for (size_t i = 0; i < s->out.count; i++)
        for (uint64_t seq = s->out.ranges[i].first; seq <= s->out.ranges[i].last; seq++)
            check_holding(d, s, seq);
    struct range r;
    for (uint64_t at = 1; seqset_next(&s->finished, at, UINT64_MAX - 1, &r); at = r.last + 1)
        must(seqset_count_in(&s->out, r.first, r.last) == r.last - r.first + 1, "session %" PRIu64,
             s->id);
    must(!s->isolation.task || seqset_has(&s->out, s->isolation.task), "session %" PRIu64, s->id);
    must(index_get(&d->sessions.by_id, s->id) == s, "session %" PRIu64, s->id);
    must(!s->lane || index_get(&d->sessions.by_lane, s->lane) == s, "session %" PRIu64, s->id);
    must(!s->connection || index_get(&d->sessions.by_connection, s->connection) == s,
         "session %" PRIu64, s->id);
    must(s->lane || s->connection || s->joins_anew, "session %" PRIu64, s->id);
    check_noted(d, s);
}

static void check_task(const struct dispatcher *d, const struct entry *entry, uint64_t seq)
{
    unsigned waits = seqset_has(&d->pending.queue, seq);
    waits += seqset_has(&d->pending.isolated, seq);
    waits += seqset_has(&d->pending.delayed.tasks, seq);
    waits += seqset_has(&d->pending.loss_pending, seq);
    bool judged = seqset_has(&d->pending.loss_reported, seq);
    unsigned held = 0;
    for (size_t i = 0; i < d->sessions.count; i++)
        held += seqset_has(&d->sessions.items[i]->out, seq);
    must(waits + (judged || held) == 1,
         "task %" PRIu64 " waits in %u lists, is judged %d times and held by %u", seq, waits,
         judged, held);
    struct story *story = entry_story(entry, seq);
    if (!story)
        return;
    must(story->holder_count == held, "task %" PRIu64, seq);
    must(story->losses <= 1000, "losses taken back that were never charged");
    must(!seqset_has(&d->pending.queue, seq) || story->losses == 0, "task %" PRIu64, seq);
    for (unsigned i = 0; i < story->holder_count; i++)
        must(is_member(d, story->holders[i].session), "a holder that is gone");
}

void farm_check_dispatcher(const struct dispatcher *d)
{
    const struct ledger *ledger = &d->ledger;
    uint64_t alive = 0;
    check_set(&d->pending.queue, &ledger->stored, ledger->read);
    check_set(&d->pending.isolated, &ledger->stored, ledger->read);
    check_set(&d->pending.delayed.tasks, &ledger->stored, ledger->read);
    must(d->pending.delayed.tasks.members == d->pending.delayed.count, "%zu are delayed",
         d->pending.delayed.count);
    check_set(&d->pending.loss_pending, &ledger->stored, ledger->read);
    check_set(&d->pending.loss_reported, &ledger->stored, ledger->read);
    check_set(&d->pending.unsaid, &ledger->stored, ledger->read);
    for (size_t i = 0; i < d->sessions.count; i++)
        check_session(d, d->sessions.items[i]);
    for (size_t i = ledger->head; i < ledger->end; i++) {
        const struct entry *entry = ledger->places[i].entry;
        if (!entry)
            continue;
        must(!entry->home || is_member(d, entry->home), "entry %" PRIu64, entry->first);
        uint64_t alive_here = 0;
        for (uint64_t seq = entry->first; seq < entry->first + entry->count; seq++)
            if (!seqset_has(&ledger->stored, seq)) {
                alive_here++;
                check_task(d, entry, seq);
            }
        must(alive_here == entry->alive, "entry %" PRIu64, entry->first);
        alive += alive_here;
    }
    must(alive + ledger->stored.members == ledger->read, "a task is in no entry");
    must(alive || ledger->bytes == 0, "%zu bytes of nothing", (size_t)ledger->bytes);
}
