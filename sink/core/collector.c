/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/core/collector.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/xalloc.h"
#include "sink/core/collector_parts.h"
#include "sink/core/waiting.h"

static const uint64_t slept_min_ns =
    100 * NS_PER_MS; /* that late, the process itself did not run */
static const uint64_t retry_interval_ns = NS_PER_S;

static void collector_remember(struct collector *c, const struct collector_past *past)
{
    seqset_copy(&c->intake.accepted, past->stored);
    seqset_copy(&c->intake.stored, past->stored);
    c->uplink.membership.incarnation_max = past->incarnation;
    c->counts.ok = past->ok;
    c->counts.failed = past->failed;
    c->counts.lost = past->lost;
    c->counts.doubled = past->doubled;
    c->opening = past->opening;
    ending_remember(&c->ending, past);
    if (past->closed)
        c->counts.input_cut = past->input_cut;
    c->counts.not_run = c->ending.not_run.members;
}

struct collector *collector_new(const struct collector_options *options, uint64_t now_ns)
{
    struct collector *c = xcalloc(1, sizeof *c);
    c->options = *options;
    c->halting.rule = options->halt;
    c->uplink.job = options->job;
    intake_init(&c->intake, options, &c->counts, &c->halting);
    membership_init(&c->uplink.membership, options->give_up_ns, options->random_seed, now_ns);
    backpressure_init(&c->backpressure, now_ns);
    c->inbox = (struct inbox){.options = &c->options,
                              .counts = &c->counts,
                              .uplink = &c->uplink,
                              .intake = &c->intake,
                              .ending = &c->ending,
                              .halting = &c->halting,
                              .notes = &c->notes,
                              .backpressure = &c->backpressure};
    if (options->past)
        collector_remember(c, options->past);
    c->due_ns = NEVER;
    c->moved_ns = now_ns;
    return c;
}

void collector_destroy(struct collector **c)
{
    if (!*c)
        return;
    intake_free(&(*c)->intake);
    ending_free(&(*c)->ending);
    outgoing_free(&(*c)->uplink.outgoing);
    inbox_free(&(*c)->inbox);
    free(*c);
    *c = NULL;
}

static void collector_exit(struct collector *c, const char *words)
{
    struct why why;
    fail(&why, ERR_CLOSED, "%s", words);
    outgoing_exit(&c->uplink.outgoing, 255, &why);
}

static void collector_exit_by_counts(struct collector *c)
{
    ending_exit(&c->ending, &c->counts, &c->halting, c->options.supervised, &c->uplink);
}

/* ---- what is said ---- */

static void collector_say_join(struct collector *c)
{
    struct sink_join m = {.peer = c->options.peer,
                          .epoch = c->uplink.membership.epoch,
                          .flags = c->options.is_volatile ? SINK_VOLATILE : 0,
                          .fingerprint = c->uplink.membership.fingerprint,
                          .stored = c->intake.stored,
                          .incarnation_max = c->uplink.membership.incarnation_max,
                          .results = bytes_of(c->options.results),
                          .wants = c->options.wants,
                          .opening = c->opening,
                          .features =
                              FEATURE_RECEIPTS | (c->intake.is_strict ? FEATURE_HANDED : 0)};
    if (c->ending.phase == ENDING_CLOSED || c->ending.was_closed) {
        m.flags |= SINK_CLOSED;
        m.total = c->ending.total;
    }
    if (c->halting.rule.percent)
        m.flags |= SINK_WANTS_TOTAL;
    else
        m.halt = c->halting.rule;
    struct buf message = {0};
    uplink_begin(&c->uplink, &message, KIND_JOIN);
    sink_join_put(&message, &m);
    uplink_send(&c->uplink, &message);
}

/* A message of results makes no sense: the ventilator is told, which tells its worker. */
static void collector_say_protest(struct collector *c, struct bytes results, enum error error,
                                  uint64_t now_ns)
{
    struct frame_head head;
    struct bytes body;
    bool is_frame = frame_take(results, &head, &body) == ERR_NONE;
    bool is_ours = is_frame && head.incarnation == c->uplink.membership.member.head.incarnation;
    struct protest m = {.session = is_ours ? head.session : 0,
                        .kind = results.size ? results.data[0] : 0,
                        .offset = intake_fault(results),
                        .sentence = bytes_of(error_sentence(error))};
    if (is_frame && head.job != c->options.job) {
        m.offset = 2;
        m.sentence = bytes_of("the results are of another job");
    }
    uplink_say_protest(&c->uplink, &m, now_ns);
}

static void collector_say_halt(struct collector *c)
{
    struct buf message = {0};
    uplink_begin(&c->uplink, &message, KIND_HALT);
    halt_put(&message, &c->halting.fired);
    uplink_send(&c->uplink, &message);
    c->halting.is_told = true;
}

static void collector_say_stored(struct collector *c, uint64_t now_ns)
{
    notes_say(&c->notes, &c->uplink, &c->intake, &c->backpressure, now_ns);
}

static uint64_t collector_note_due(const struct collector *c)
{
    return notes_due(&c->notes, &c->uplink, &c->intake, &c->backpressure);
}

/* When a heartbeat is to be sent for those results that wait to be named, besides the usual ones. */
static uint64_t collector_ask_due(const struct collector *c)
{
    return uplink_is_joined(&c->uplink) ? handed_ask_due(&c->intake.handed, c->uplink.asked_ns)
                                        : NEVER;
}

static bool collector_has_news(const struct collector *c)
{
    return notes_has_news(&c->notes, &c->uplink, &c->intake, &c->backpressure);
}

/* ---- what happened ---- */

/* By how much this turn is late. */
static uint64_t collector_late_ns(const struct collector *c, uint64_t now_ns)
{
    return now_ns > c->due_ns ? now_ns - c->due_ns : 0;
}

void collector_control_accepted(struct collector *c, uint64_t now_ns)
{
    if (!uplink_is_over(&c->uplink) && c->uplink.membership.member.state == MEMBER_CONNECTING)
        member_accepted(&c->uplink.membership.member, now_ns);
}

void collector_control_up(struct collector *c, uint64_t now_ns)
{
    if (uplink_is_over(&c->uplink) || c->uplink.membership.member.state != MEMBER_CONNECTING)
        return;
    uplink_up(&c->uplink, collector_late_ns(c, now_ns), now_ns);
    collector_say_join(c);
}

void collector_control_down(struct collector *c, uint64_t now_ns)
{
    if (uplink_is_over(&c->uplink) || c->uplink.membership.member.state == MEMBER_AWAY)
        return;
    uplink_down(&c->uplink, now_ns);
}

void collector_control_message(struct collector *c, struct bytes message, uint64_t now_ns)
{
    bool connected =
        c->uplink.membership.member.state == MEMBER_JOINING || uplink_is_joined(&c->uplink);
    if (!uplink_is_over(&c->uplink) && connected &&
        inbox_read(&c->inbox, message, collector_late_ns(c, now_ns), now_ns))
        c->counts.dropped_messages++;
}

static enum error collector_take_results(struct collector *c, struct bytes message, uint64_t now_ns)
{
    struct frame_head head;
    struct bytes body;
    enum error error = frame_take(message, &head, &body);
    if (error)
        return error;
    if (head.job != c->options.job)
        return ERR_INVALID;
    if (head.kind == KIND_RESULTS)
        return intake_results(&c->intake, message, now_ns);
    return head.kind == KIND_PIECE ? intake_piece(&c->intake, message, now_ns) : ERR_KIND;
}

/* What the input has no such task for was surely handed to nobody. */
static void say_beyond(struct collector *c, struct bytes message, uint64_t now_ns)
{
    struct frame_head head;
    struct bytes body;
    if (seqset_empty(&c->intake.beyond) || frame_take(message, &head, &body))
        return;
    bool is_ours = head.incarnation == c->uplink.membership.member.head.incarnation;
    struct session_tasks strange = {is_ours ? head.session : 0, c->intake.beyond};
    c->counts.strange += strange.tasks.members;
    uplink_say_strange(&c->uplink, &strange, now_ns);
    seqset_clear(&c->intake.beyond);
}

bool collector_results_message(struct collector *c, struct bytes message, uint64_t now_ns)
{
    if (uplink_is_over(&c->uplink))
        return false;
    enum error error = collector_take_results(c, message, now_ns);
    say_beyond(c, message, now_ns);
    if (error) {
        c->counts.dropped_messages++;
        collector_say_protest(c, message, error, now_ns);
    }
    if (c->intake.moved)
        c->moved_ns = now_ns;
    return !error;
}

void collector_mark(struct collector *c, uint64_t position_bytes)
{
    intake_mark(&c->intake, position_bytes);
}

void collector_reached(struct collector *c, uint64_t position_bytes)
{
    intake_reached(&c->intake, position_bytes);
}

void collector_set_order_full(struct collector *c, bool full)
{
    c->backpressure.order_full = full;
}

void collector_flushed(struct collector *c, uint64_t now_ns)
{
    if (uplink_is_over(&c->uplink) || c->ending.phase != ENDING_FLUSHING)
        return;
    c->ending.phase = ENDING_CLOSED;
    c->ending.closed_ns = now_ns;
    if (collector_has_news(c))
        collector_say_stored(c, now_ns);
    if (uplink_is_joined(&c->uplink))
        ending_say_closed(&c->ending, &c->counts, &c->halting, &c->uplink);
}

void collector_set_output(struct collector *c, enum collector_output output, uint64_t written_bytes,
                          uint64_t now_ns)
{
    if (backpressure_set_output(&c->backpressure, output, written_bytes, now_ns))
        c->moved_ns = now_ns;
}

void collector_set_reading(struct collector *c, bool reads, uint64_t now_ns)
{
    backpressure_set_reading(&c->backpressure, reads, now_ns);
}

void collector_stop(struct collector *c, uint64_t now_ns)
{
    if (uplink_is_over(&c->uplink) || c->ending.is_interrupted)
        return;
    c->ending.is_interrupted = true;
    c->moved_ns = now_ns;
    if (uplink_is_joined(&c->uplink))
        uplink_say_leave(&c->uplink);
    else if (c->uplink.membership.member.head.session == 0)
        collector_exit(c, c->options.supervised ? "" : "interrupted before a ventilator was there");
}

/* ---- a turn ---- */

static void collector_give_up(struct collector *c)
{
    struct why why;
    bool was_cut = c->ending.was_closed && (c->counts.input_cut || c->counts.not_run);
    fail(&why, ERR_CLOSED, "no ventilator%s%s for %" PRIu64 " s, %s",
         c->options.connect ? " at " : "", c->options.connect ? c->options.connect : "",
         c->options.give_up_ns / NS_PER_S,
         was_cut ? "and the job of the store was stopped before its end: with one it goes on"
                 : "so the job was given up");
    if (c->ending.phase == ENDING_CLOSED || (c->ending.was_closed && !was_cut))
        collector_exit_by_counts(c);
    else
        collector_exit(c, why.text);
}

static void turn_uplink(struct collector *c, uint64_t now_ns)
{
    if (c->ending.phase == ENDING_FLUSHING) /* all is in: no ventilator is needed to write it */
        c->uplink.membership.member.present_ns = now_ns;
    if (!uplink_turn(&c->uplink, now_ns))
        collector_give_up(c);
}

static void turn_ending(struct collector *c, uint64_t now_ns)
{
    if (ending_complete(&c->ending, &c->intake.stored)) {
        if (collector_has_news(c))
            collector_say_stored(c, now_ns);
        ending_flush(&c->ending, &c->intake.accepted, c->counts.input_cut);
        c->intake.closed = true;
        c->counts.not_run = c->ending.not_run.members;
        outgoing_add(&c->uplink.outgoing, COLLECTOR_FLUSH, NULL);
    }
    if (now_ns >= ending_leave_ns(&c->ending, &c->uplink.membership))
        collector_exit_by_counts(c);
}

/* What is to be said by itself, in a session that goes on. */
static void turn_notes(struct collector *c, uint64_t now_ns)
{
    if (now_ns >= collector_ask_due(c))
        uplink_say_heartbeat(&c->uplink, now_ns);
    if (c->halting.fired.when && !c->halting.is_told && uplink_is_joined(&c->uplink))
        collector_say_halt(c);
    if (now_ns >= collector_note_due(c))
        collector_say_stored(c, now_ns);
}

static void update_counts(struct collector *c)
{
    uint64_t highest = seqset_max(&c->intake.accepted);
    if (c->counts.status.read > highest)
        highest = c->counts.status.read;
    c->counts.total = c->ending.phase == ENDING_OPEN ? highest : c->ending.total;
}

void collector_turn(struct collector *c, uint64_t now_ns)
{
    if (uplink_is_over(&c->uplink))
        return;
    uint64_t late_ns = collector_late_ns(c, now_ns);
    if (late_ns >= slept_min_ns)
        membership_slept(&c->uplink.membership, late_ns, now_ns);
    if (c->intake.stalled_count && now_ns - c->retried_ns >= retry_interval_ns) {
        intake_retry(&c->intake);
        c->retried_ns = now_ns;
    }
    if (c->intake.moved) {
        c->intake.moved = false;
        c->moved_ns = now_ns;
        c->ending.lacking = 0;
    }
    turn_ending(c, now_ns);
    if (!uplink_is_over(&c->uplink))
        turn_uplink(c, now_ns);
    if (!uplink_is_over(&c->uplink))
        turn_notes(c, now_ns);
    update_counts(c);
    c->due_ns = collector_deadline(c);
}

uint64_t collector_deadline(const struct collector *c)
{
    if (uplink_is_over(&c->uplink))
        return NEVER;
    const struct membership *m = &c->uplink.membership;
    uint64_t due_ns = clock_earlier(membership_deadline(m), ending_leave_ns(&c->ending, m));
    if (c->intake.stalled_count)
        due_ns = clock_earlier(due_ns, c->retried_ns + retry_interval_ns);
    due_ns = clock_earlier(due_ns, backpressure_deadline(&c->backpressure));
    due_ns = clock_earlier(due_ns, collector_ask_due(c));
    return clock_earlier(due_ns, collector_note_due(c));
}

bool collector_next_action(struct collector *c, struct collector_action *action)
{
    return outgoing_pop(&c->uplink.outgoing, action);
}

/* ---- what it knows ---- */

bool collector_wants_results(const struct collector *c, uint64_t unstored_bytes)
{
    return unstored_bytes < c->options.window_max_bytes && c->intake.stalled_count == 0 &&
           !intake_waits_enough(&c->intake);
}

const struct job_counts *collector_counts(const struct collector *c)
{
    return &c->counts;
}

const struct halt *collector_halt(const struct collector *c)
{
    return &c->halting.fired;
}

const struct why *collector_stalled(const struct collector *c)
{
    return c->intake.stalled_count ? &c->intake.stalled_why : NULL;
}

const struct seqset *collector_stored(const struct collector *c)
{
    return &c->intake.stored;
}

const struct admitted *collector_admitted(const struct collector *c)
{
    return c->inbox.has_admitted ? &c->inbox.admitted : NULL;
}

const struct seqset *collector_not_run(const struct collector *c)
{
    return &c->ending.not_run;
}

bool collector_is_done(const struct collector *c)
{
    return c->ending.phase != ENDING_OPEN;
}

uint64_t collector_total(const struct collector *c)
{
    return c->ending.total;
}

uint64_t collector_moved_at(const struct collector *c)
{
    return c->inbox.welcomed_ns > c->moved_ns ? c->inbox.welcomed_ns : c->moved_ns;
}

bool collector_waits_for(const struct collector *c, uint64_t now_ns, struct why *why)
{
    struct waiting waiting = {.connect = c->options.connect,
                              .member = &c->uplink.membership.member,
                              .intake = &c->intake,
                              .ending = &c->ending,
                              .status = &c->counts.status,
                              .order_full = c->backpressure.order_full};
    return !uplink_is_over(&c->uplink) && waiting_for(&waiting, now_ns, why);
}
