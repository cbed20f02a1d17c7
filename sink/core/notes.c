/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/core/notes.h"

#include "common/base/clock.h"
#include "common/base/xalloc.h"

enum { NOTE_RANGES_MAX = 50000 }; /* of a STORED: they fit a frame, with a gap for each sender */

static const uint64_t note_interval_ns = 10 * NS_PER_MS;

void notes_begin(struct notes *n, uint64_t now_ns)
{
    n->arrivals_ns = now_ns;
}

static uint64_t notes_flags(const struct intake *in, const struct backpressure *b)
{
    return backpressure_flags(b, in->stalled_count > 0);
}

/* ---- when ---- */

bool notes_has_news(const struct notes *n, const struct uplink *u, const struct intake *in,
                    const struct backpressure *b)
{
    return uplink_is_joined(u) && (!seqset_empty(&in->news) || in->senders.has_gaps ||
                                   n->flags_told != notes_flags(in, b));
}

/* What was taken from whom, though nothing of it is stored. */
static uint64_t notes_origins_due(const struct notes *n, const struct uplink *u,
                                  const struct intake *in)
{
    bool has_some = uplink_is_joined(u) && in->senders.has_origins;
    return has_some ? n->noted_ns + NS_PER_S : NEVER;
}

static uint64_t notes_arrivals_due(const struct notes *n, const struct uplink *u,
                                   const struct intake *in)
{
    bool has_some = uplink_is_joined(u) && in->senders.has_arrivals;
    return has_some ? n->arrivals_ns + u->membership.member.heartbeat_ns / 2 : NEVER;
}

uint64_t notes_due(const struct notes *n, const struct uplink *u, const struct intake *in,
                   const struct backpressure *b)
{
    uint64_t due_ns = notes_has_news(n, u, in, b) ? n->noted_ns + note_interval_ns : NEVER;
    due_ns = clock_earlier(due_ns, notes_origins_due(n, u, in));
    return clock_earlier(due_ns, notes_arrivals_due(n, u, in));
}

/* ---- what ---- */

/* Moves the first ranges of `from` to `to`: as many as one note holds. */
static void take_ranges(struct seqset *from, struct seqset *to)
{
    seqset_clear(to);
    if (from->count <= NOTE_RANGES_MAX) {
        struct seqset all = *from;
        *from = *to;
        *to = all;
        return;
    }
    for (size_t i = 0; i < NOTE_RANGES_MAX; i++)
        seqset_add(to, from->ranges[i].first, from->ranges[i].last);
    seqset_remove(from, 1, seqset_max(to));
}

static void collect_gaps(struct senders *senders, uint64_t incarnation, struct stored_note *note)
{
    size_t at = 0;
    struct gap gap;
    if (!senders->has_gaps)
        return;
    note->gaps = xcalloc(senders->count, sizeof *note->gaps);
    while (senders_take_gap(senders, incarnation, &at, &gap))
        note->gaps[note->gap_count++] = gap;
}

static void collect_origins(struct senders *senders, uint64_t incarnation, struct stored_note *note)
{
    enum { ORIGIN_RANGES_MAX = 20000 };
    size_t at = 0, ranges = ORIGIN_RANGES_MAX;
    struct session_tasks origin;
    if (!senders->has_origins)
        return;
    note->origins = xcalloc(senders->count, sizeof *note->origins);
    while (senders_take_origin(senders, incarnation, &at, &ranges, &origin))
        note->origins[note->origin_count++] = origin;
}

static void collect_arrivals(struct senders *senders, uint64_t incarnation,
                             struct stored_note *note)
{
    size_t at = 0;
    struct arrival arrival;
    note->received = xcalloc(senders->count, sizeof *note->received);
    while (senders_take_arrival(senders, incarnation, &at, &arrival))
        note->received[note->received_count++] = arrival;
}

static void free_origins(struct stored_note *note)
{
    while (note->origin_count)
        session_tasks_free(&note->origins[--note->origin_count]);
}

void notes_say(struct notes *n, struct uplink *u, struct intake *in, const struct backpressure *b,
               uint64_t now_ns)
{
    uint64_t incarnation = u->membership.member.head.incarnation;
    struct stored_note note = {.epoch = u->membership.epoch, .flags = notes_flags(in, b)};
    collect_gaps(&in->senders, incarnation, &note);
    collect_origins(&in->senders, incarnation, &note);
    if (now_ns >= notes_arrivals_due(n, u, in)) {
        collect_arrivals(&in->senders, incarnation, &note);
        n->arrivals_ns = now_ns;
    }
    do {
        struct buf message = {0};
        take_ranges(&in->news, &note.tasks);
        uplink_begin(u, &message, KIND_STORED);
        stored_note_put(&message, &note);
        uplink_send(u, &message);
        note.gap_count = note.received_count = 0;
        free_origins(&note);
    } while (!seqset_empty(&in->news));
    stored_note_free(&note);
    n->flags_told = note.flags;
    n->noted_ns = now_ns;
}
