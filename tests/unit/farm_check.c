/* SPDX-License-Identifier: MPL-2.0 */
#include "farm_fixture.h"

#include <inttypes.h>

/* What must hold of the dispatcher's state between any two events. */

static bool is_member(const struct dispatcher *d, const struct session *session)
{
    for (size_t i = 0; i < d->session_count; i++)
        if (d->sessions[i] == session)
            return true;
    return false;
}

static void check_set(const struct seqset *set, const struct seqset *stored, uint64_t read)
{
    uint64_t members = 0;
    for (size_t i = 0; i < set->count; i++) {
        struct range r = set->ranges[i];
        members += r.last - r.first + 1;
        cr_assert_leq(r.last, read);
        cr_assert_eq(seqset_count_in(stored, r.first, r.last), 0, "a stored task is in a list");
    }
    cr_assert_eq(members, set->members);
}

/* Its story, or its home, says that the session has it. */
static void check_holding(const struct dispatcher *d, const struct session *s, uint64_t seq)
{
    struct entry *entry = ledger_find(&d->ledger, seq);
    cr_assert(entry, "task %" PRIu64 " is held and not in the ledger", seq);
    struct story *story = entry_story(entry, seq);
    if (story)
        cr_assert(story_holder(story, s), "task %" PRIu64 " does not know its holder", seq);
    else
        cr_assert_eq(entry->home, s, "task %" PRIu64 " is held by a stranger", seq);
}

/* What handout_note keeps is what there is. */
static void check_noted(const struct dispatcher *d, const struct session *s)
{
    for (enum ranking_kind kind = TAKES_NEW; kind < RANKINGS; kind++) {
        const struct ranking *r = &d->takers[kind];
        size_t at = s->rank[kind];
        cr_assert_eq(at > 0, handout_room(d, s, kind) > 0, "session %" PRIu64, s->id);
        cr_assert(!at || r->items[at - 1] == s);
        cr_assert(at < 2 || r->items[at / 2 - 1]->load <= s->load);
    }
    cr_assert_eq(d->sessions[s->at], s);
    cr_assert_eq(s->noted.unfinished, session_unfinished(s));
    cr_assert_eq(s->noted.gives, s->connection && session_unstarted(s));
    cr_assert_eq(s->noted.succeeds, s->used && s->fails_in_a_row == 0);
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
        cr_assert_eq(seqset_count_in(&s->out, r.first, r.last), r.last - r.first + 1);
    cr_assert(!s->alone || seqset_has(&s->out, s->alone));
    cr_assert_eq(index_get(&d->by_id, s->id), s);
    cr_assert(!s->lane || index_get(&d->by_lane, s->lane) == s);
    cr_assert(!s->connection || index_get(&d->by_connection, s->connection) == s);
    cr_assert(s->lane || s->connection);
    check_noted(d, s);
}

static void check_task(const struct dispatcher *d, const struct entry *entry, uint64_t seq)
{
    unsigned waits = seqset_has(&d->queue, seq);
    waits += seqset_has(&d->lonely, seq);
    waits += seqset_has(&d->delayed.tasks, seq);
    waits += seqset_has(&d->doomed, seq);
    bool judged = seqset_has(&d->judged, seq);
    unsigned held = 0;
    for (size_t i = 0; i < d->session_count; i++)
        held += seqset_has(&d->sessions[i]->out, seq);
    cr_assert_eq(waits + (judged || held), 1,
                 "task %" PRIu64 " waits in %u lists, is judged %d times and held by %u", seq,
                 waits, judged, held);
    struct story *story = entry_story(entry, seq);
    if (!story)
        return;
    cr_assert_eq(story->holder_count, held);
    cr_assert_leq(story->losses, 1000, "losses taken back that were never charged");
    cr_assert(!seqset_has(&d->queue, seq) || story->losses == 0);
    for (unsigned i = 0; i < story->holder_count; i++)
        cr_assert(is_member(d, story->holders[i].session), "a holder that is gone");
}

void farm_check(const struct farm *f)
{
    const struct dispatcher *d = f->d;
    const struct ledger *ledger = &d->ledger;
    uint64_t alive = 0;
    check_set(&d->queue, &ledger->stored, ledger->read);
    check_set(&d->lonely, &ledger->stored, ledger->read);
    check_set(&d->delayed.tasks, &ledger->stored, ledger->read);
    cr_assert_eq(d->delayed.tasks.members, d->delayed.count);
    check_set(&d->doomed, &ledger->stored, ledger->read);
    check_set(&d->judged, &ledger->stored, ledger->read);
    for (size_t i = 0; i < d->session_count; i++)
        check_session(d, d->sessions[i]);
    for (size_t i = ledger->head; i < ledger->end; i++) {
        const struct entry *entry = ledger->places[i].entry;
        if (!entry)
            continue;
        cr_assert(!entry->home || is_member(d, entry->home));
        uint64_t alive_here = 0;
        for (uint64_t seq = entry->first; seq < entry->first + entry->count; seq++)
            if (!seqset_has(&ledger->stored, seq)) {
                alive_here++;
                check_task(d, entry, seq);
            }
        cr_assert_eq(alive_here, entry->alive);
        alive += alive_here;
    }
    cr_assert_eq(alive + ledger->stored.members, ledger->read, "a task is in no entry");
    cr_assert(alive || ledger->bytes == 0);
}
