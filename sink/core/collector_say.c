/* SPDX-License-Identifier: MPL-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/xalloc.h"
#include "sink/core/collector_state.h"

enum { NOTE_RANGES_MAX = 50000 }; /* of a STORED: they fit a frame, with a gap for each sender */

static void collector_say_begin(const struct collector *c, struct buf *message, enum wire_kind kind)
{
    wire_begin(message, kind,
               (struct frame_head){.job = c->options.job,
                                   .incarnation = c->membership.incarnation,
                                   .session = c->membership.session});
}

static void send(struct collector *c, struct buf *message)
{
    outgoing_add(&c->outgoing, COLLECTOR_SEND_CONTROL, block_new(message));
}

void collector_say_join(struct collector *c)
{
    struct sink_join m = {.peer = c->options.peer,
                          .epoch = c->membership.epoch,
                          .flags = c->options.is_volatile ? SINK_VOLATILE : 0,
                          .fingerprint = c->membership.fingerprint,
                          .stored = c->intake.stored,
                          .incarnation_max = c->membership.incarnation_max,
                          .results = bytes_of(c->options.results),
                          .wants = c->options.wants,
                          .opening = c->opening,
                          .features =
                              FEATURE_RECEIPTS | (c->intake.is_strict ? FEATURE_HANDED : 0)};
    if (c->ending.phase == ENDING_CLOSED || c->was_closed) {
        m.flags |= SINK_CLOSED;
        m.total = c->ending.total;
    }
    if (c->halting.rule.percent)
        m.flags |= SINK_WANTS_TOTAL;
    else
        m.halt = c->halting.rule;
    struct buf message = {0};
    collector_say_begin(c, &message, KIND_JOIN);
    sink_join_put(&message, &m);
    send(c, &message);
}

static bool may_protest(struct collector *c, uint64_t now_ns)
{
    enum { AT_ONCE = 20 };
    return c->membership.state == JOINED &&
           throttle_take(&c->protests, AT_ONCE, NS_PER_S / AT_ONCE, now_ns);
}

static void say_protest(struct collector *c, const struct protest *m)
{
    struct buf message = {0};
    collector_say_begin(c, &message, KIND_PROTEST);
    protest_put(&message, m);
    send(c, &message);
}

void collector_say_protest(struct collector *c, struct bytes results, enum error error,
                           uint64_t now_ns)
{
    struct frame_head head;
    struct bytes body;
    bool is_frame = frame_take(results, &head, &body) == ERR_NONE;
    bool is_ours = is_frame && head.incarnation == c->membership.incarnation;
    struct protest m = {.session = is_ours ? head.session : 0,
                        .kind = results.size ? results.data[0] : 0,
                        .offset = intake_fault(results),
                        .sentence = bytes_of(error_sentence(error))};
    if (is_frame && head.job != c->options.job) {
        m.offset = 2;
        m.sentence = bytes_of("the results are of another job");
    }
    if (may_protest(c, now_ns))
        say_protest(c, &m);
}

void collector_say_strange(struct collector *c, const struct session_tasks *strange,
                           uint64_t now_ns)
{
    char sentence[120];
    snprintf(sentence, sizeof sentence,
             "results of tasks that this session was never handed, first of task %" PRIu64,
             seqset_min(&strange->tasks));
    struct protest m = {strange->session, KIND_RESULTS, FRAME_HEAD_SIZE, bytes_of(sentence)};
    c->counts.strange += strange->tasks.members;
    if (may_protest(c, now_ns))
        say_protest(c, &m);
}

uint64_t collector_ask_due(const struct collector *c)
{
    static const uint64_t interval_ns = 10 * NS_PER_MS;
    const struct handed *h = &c->intake.handed;
    if (c->membership.state != JOINED || !h->early_count || c->asked_ns > h->early_ns)
        return NEVER; /* nothing waits that the last one does not answer for */
    uint64_t after_ns = h->early_ns + 1;
    return c->asked_ns + interval_ns > after_ns ? c->asked_ns + interval_ns : after_ns;
}

void collector_say_heartbeat(struct collector *c, uint64_t now_ns)
{
    struct heartbeat m = {.clock_ns = now_ns};
    struct buf message = {0};
    c->asked_ns = now_ns;
    collector_say_begin(c, &message, KIND_HEARTBEAT);
    heartbeat_put(&message, &m);
    send(c, &message);
}

void collector_say_leave(struct collector *c)
{
    struct buf message = {0};
    collector_say_begin(c, &message, KIND_LEAVE);
    leave_put(&message, &(struct leave){bytes_of("the sink was interrupted")});
    send(c, &message);
}

void collector_say_halt(struct collector *c)
{
    struct buf message = {0};
    collector_say_begin(c, &message, KIND_HALT);
    halt_put(&message, &c->halting.fired);
    send(c, &message);
    c->halt_told = true;
}

void collector_say_closed(struct collector *c)
{
    struct why why;
    struct closed m = {.total = c->ending.total,
                       .ok = c->counts.ok,
                       .failed = c->counts.failed,
                       .lost = c->counts.lost,
                       .not_run = c->counts.not_run,
                       .doubled = c->counts.doubled,
                       .status = (uint64_t)collector_status(c, &why)};
    struct buf message = {0};
    collector_say_begin(c, &message, KIND_CLOSED);
    closed_put(&message, &m);
    send(c, &message);
}

void collector_say_hashes(struct collector *c, uint64_t from)
{
    enum { HASH_BYTES = 16 + 2, CAREFUL = FRAME_CAREFUL / HASH_BYTES };
    size_t most = c->is_careful ? CAREFUL : HASHES_MAX;
    struct hashes m = {.from = from, .items = xcalloc(HASHES_MAX, sizeof *m.items)};
    struct buf message = {0};
    if (c->options.hashes)
        m.count = c->options.hashes(c->options.context, from, m.items);
    m.last = m.count < HASHES_MAX && m.count <= most;
    if (m.count > most)
        m.count = most;
    collector_say_begin(c, &message, KIND_HASHES);
    hashes_put(&message, &m);
    send(c, &message);
    hashes_free(&m);
}

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

static void collect_gaps(struct collector *c, struct stored_note *note)
{
    struct senders *senders = &c->intake.senders;
    size_t at = 0;
    struct gap gap;
    if (!senders->has_gaps)
        return;
    note->gaps = xcalloc(senders->count, sizeof *note->gaps);
    while (senders_take_gap(senders, c->membership.incarnation, &at, &gap))
        note->gaps[note->gap_count++] = gap;
}

static void collect_origins(struct collector *c, struct stored_note *note)
{
    enum { ORIGIN_RANGES_MAX = 20000 };
    struct senders *senders = &c->intake.senders;
    size_t at = 0, ranges = ORIGIN_RANGES_MAX;
    struct session_tasks origin;
    if (!senders->has_origins)
        return;
    note->origins = xcalloc(senders->count, sizeof *note->origins);
    while (senders_take_origin(senders, c->membership.incarnation, &at, &ranges, &origin))
        note->origins[note->origin_count++] = origin;
}

static void free_origins(struct stored_note *note)
{
    while (note->origin_count)
        session_tasks_free(&note->origins[--note->origin_count]);
}

uint64_t collector_origins_due(const struct collector *c)
{
    bool has_some = c->membership.state == JOINED && c->intake.senders.has_origins;
    return has_some ? c->noted_ns + NS_PER_S : NEVER;
}

uint64_t collector_arrivals_due(const struct collector *c)
{
    bool has_some = c->membership.state == JOINED && c->intake.senders.has_arrivals;
    return has_some ? c->arrivals_ns + c->membership.heartbeat_ns / 2 : NEVER;
}

static void collect_arrivals(struct collector *c, struct stored_note *note, uint64_t now_ns)
{
    struct senders *senders = &c->intake.senders;
    size_t at = 0;
    struct arrival arrival;
    if (now_ns < collector_arrivals_due(c))
        return;
    note->received = xcalloc(senders->count, sizeof *note->received);
    while (senders_take_arrival(senders, c->membership.incarnation, &at, &arrival))
        note->received[note->received_count++] = arrival;
    c->arrivals_ns = now_ns;
}

uint64_t collector_flags(const struct collector *c)
{
    bool no_room = c->output == OUTPUT_NO_ROOM || c->intake.stalled_count;
    return (c->order_full ? STORED_ORDER_FULL : 0) | (c->unread ? STORED_UNREAD : 0) |
           (no_room ? STORED_NO_ROOM : 0) | (c->is_held ? STORED_NOT_READING : 0);
}

void collector_say_stored(struct collector *c, uint64_t now_ns)
{
    struct stored_note note = {.epoch = c->membership.epoch, .flags = collector_flags(c)};
    collect_gaps(c, &note);
    collect_origins(c, &note);
    collect_arrivals(c, &note, now_ns);
    do {
        struct buf message = {0};
        take_ranges(&c->intake.news, &note.tasks);
        collector_say_begin(c, &message, KIND_STORED);
        stored_note_put(&message, &note);
        send(c, &message);
        note.gap_count = note.received_count = 0;
        free_origins(&note);
    } while (!seqset_empty(&c->intake.news));
    stored_note_free(&note);
    c->flags_told = note.flags;
    c->noted_ns = now_ns;
}

bool collector_has_news(const struct collector *c)
{
    return c->membership.state == JOINED &&
           (!seqset_empty(&c->intake.news) || c->intake.senders.has_gaps ||
            c->flags_told != collector_flags(c));
}

/* ---- to users ---- */

static void say_no_ventilator(const struct collector *c, uint64_t now_ns, struct why *why)
{
    uint64_t silent_s = (now_ns - c->membership.present_ns) / NS_PER_S;
    const char *at = c->options.connect ? c->options.connect : "its address";
    if (c->membership.state == JOINING)
        fail(why, ERR_CLOSED, "waits for the ventilator at %s to answer", at);
    else if (c->membership.session)
        fail(why, ERR_CLOSED,
             "waits for the ventilator at %s to come back: not heard for %" PRIu64 " s", at,
             silent_s);
    else
        fail(why, ERR_CLOSED,
             "waits for a ventilator: none answers at %s; start one with zfarm-ventilator", at);
}

static bool say_why_results_stop(const struct collector *c, struct why *why)
{
    struct range next = {1, 1};
    seqset_next_gap(&c->intake.accepted, 1, UINT64_MAX - 1, &next);
    uint64_t waiting = c->intake.accepted.members - c->intake.stored.members;
    if (c->intake.stalled_count)
        fail(why, ERR_DISK_FULL, "waits for room for a large result: %s",
             c->intake.stalled_why.text);
    else if (c->order_full)
        fail(why, ERR_LIMIT,
             "waits for the result of task %" PRIu64 ": the ones behind it fill what -k may keep",
             next.first);
    else if (waiting)
        fail(why, ERR_LIMIT,
             "waits for the output to take more: %" PRIu64 " results are not written", waiting);
    else
        return false;
    return true;
}

static bool say_why_no_end(const struct collector *c, struct why *why)
{
    switch (c->ending.phase) {
    case ENDING_WANTED:
        fail(why, ERR_NOT_FOUND,
             "waits for the results of %" PRIu64 " tasks, first of task %" PRIu64
             ", that the ventilator believes stored",
             c->ending.missing.members, seqset_min(&c->ending.missing));
        return true;
    case ENDING_FLUSHING:
        fail(why, ERR_LIMIT, "has all results and waits for the output to take them");
        return true;
    case ENDING_CLOSED:
        fail(why, ERR_CLOSED, "is done and waits for the ventilator to say so too");
        return true;
    case ENDING_OPEN:
        break;
    }
    return false;
}

bool collector_waits_for(const struct collector *c, uint64_t now_ns, struct why *why)
{
    const struct status *status = &c->counts.status;
    if (c->gone)
        return false;
    if (say_why_results_stop(c, why) || say_why_no_end(c, why))
        return true;
    if (c->membership.state != JOINED)
        say_no_ventilator(c, now_ns, why);
    else if (status->workers == 0)
        fail(why, ERR_NOT_FOUND,
             "waits for results: no worker is in the farm; start one with zfarm-worker");
    else if (status->out == 0)
        fail(why, ERR_NOT_FOUND, "waits for results: the ventilator has no task at a worker");
    else
        return false; /* they run: nothing is wrong */
    return true;
}
