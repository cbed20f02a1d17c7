/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/core/collector.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/xalloc.h"
#include "sink/core/collector_state.h"

static const uint64_t note_interval_ns = 10 * NS_PER_MS;
static const uint64_t slept_min_ns =
    100 * NS_PER_MS;                              /* that late, the process itself did not run */
static const uint64_t unread_after_ns = NS_PER_S; /* so long a reader may take nothing */
static const uint64_t held_after_ns = 100 * NS_PER_MS; /* so long no results are read */
static const uint64_t retry_interval_ns = NS_PER_S;

/* How the job ended: should no ventilator go on with it, that is how it still ends. */
static void remember_end(struct collector *c, const struct collector_past *past)
{
    struct range gap;
    c->counts.input_cut = past->input_cut;
    for (uint64_t at = 1; at <= past->total && seqset_next_gap(past->stored, at, past->total, &gap);
         at = gap.last + 1)
        seqset_add(&c->ending.not_run, gap.first, gap.last);
    c->counts.not_run = c->ending.not_run.members;
}

static void collector_remember(struct collector *c, const struct collector_past *past)
{
    seqset_copy(&c->intake.accepted, past->stored);
    seqset_copy(&c->intake.stored, past->stored);
    c->membership.incarnation_max = past->incarnation;
    c->counts.ok = past->ok;
    c->counts.failed = past->failed;
    c->counts.lost = past->lost;
    c->counts.doubled = past->doubled;
    c->was_closed = past->closed;
    c->ending.total = past->total;
    if (past->closed)
        remember_end(c, past);
    c->opening = past->opening;
}

struct collector *collector_new(const struct collector_options *options, uint64_t now_ns)
{
    struct collector *c = xcalloc(1, sizeof *c);
    c->options = *options;
    c->halting.rule = options->halt;
    intake_init(&c->intake, options, &c->counts, &c->halting);
    membership_init(&c->membership, options->give_up_ns, options->random_seed, now_ns);
    if (options->past)
        collector_remember(c, options->past);
    c->due_ns = c->held_ns = NEVER;
    c->moved_ns = c->written_ns = now_ns;
    return c;
}

void collector_destroy(struct collector **c)
{
    if (!*c)
        return;
    intake_free(&(*c)->intake);
    ending_free(&(*c)->ending);
    outgoing_free(&(*c)->outgoing);
    admitted_free(&(*c)->admitted);
    free(*c);
    *c = NULL;
}

void collector_exit(struct collector *c, int status, const struct why *why)
{
    if (!c->gone)
        outgoing_exit(&c->outgoing, status, why);
    c->gone = true;
}

int collector_status(const struct collector *c, struct why *why)
{
    return ending_status(&c->ending, &c->counts, &c->halting, c->stopping, why);
}

void collector_exit_by_counts(struct collector *c)
{
    struct why why = {0};
    int status = collector_status(c, &why);
    if (c->options.supervised && ending_adds_up(&c->ending, &c->counts))
        why.text[0] = '\0'; /* what stopped it has said so */
    collector_exit(c, status, &why);
}

void collector_rejoin(struct collector *c, uint64_t now_ns)
{
    outgoing_drop_sends(&c->outgoing);
    outgoing_add(&c->outgoing, COLLECTOR_CLOSE_CONTROL, NULL);
    membership_leave(&c->membership, now_ns);
}

/* ---- what happened ---- */

uint64_t collector_late_ns(const struct collector *c, uint64_t now_ns)
{
    return now_ns > c->due_ns ? now_ns - c->due_ns : 0;
}

void collector_control_accepted(struct collector *c, uint64_t now_ns)
{
    if (!c->gone && c->membership.state == CONNECTING)
        membership_accepted(&c->membership, now_ns);
}

void collector_control_up(struct collector *c, uint64_t now_ns)
{
    if (c->gone || c->membership.state != CONNECTING)
        return;
    membership_up(&c->membership, collector_late_ns(c, now_ns), now_ns);
    collector_say_join(c);
}

void collector_control_down(struct collector *c, uint64_t now_ns)
{
    if (c->gone || c->membership.state == AWAY)
        return;
    outgoing_drop_sends(&c->outgoing);
    membership_down(&c->membership, now_ns);
}

void collector_control_message(struct collector *c, struct bytes message, uint64_t now_ns)
{
    bool connected = c->membership.state == JOINING || c->membership.state == JOINED;
    if (!c->gone && connected && collector_take(c, message, now_ns))
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
    bool is_ours = head.incarnation == c->membership.incarnation;
    struct session_tasks strange = {is_ours ? head.session : 0, c->intake.beyond};
    collector_say_strange(c, &strange, now_ns);
    seqset_clear(&c->intake.beyond);
}

bool collector_results_message(struct collector *c, struct bytes message, uint64_t now_ns)
{
    if (c->gone)
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
    c->order_full = full;
}

void collector_flushed(struct collector *c, uint64_t now_ns)
{
    if (c->gone || c->ending.phase != ENDING_FLUSHING)
        return;
    c->ending.phase = ENDING_CLOSED;
    c->ending.closed_ns = now_ns;
    if (collector_has_news(c))
        collector_say_stored(c, now_ns);
    if (c->membership.state == JOINED)
        collector_say_closed(c);
}

void collector_set_output(struct collector *c, enum collector_output output, uint64_t written_bytes,
                          uint64_t now_ns)
{
    if (output != OUTPUT_BLOCKED || written_bytes != c->written_bytes)
        c->written_ns = now_ns;
    if (written_bytes != c->written_bytes)
        c->moved_ns = now_ns;
    c->output = output;
    c->written_bytes = written_bytes;
    c->unread = now_ns >= c->written_ns + unread_after_ns;
}

void collector_set_reading(struct collector *c, bool reads, uint64_t now_ns)
{
    if (reads)
        c->held_ns = NEVER;
    else if (c->held_ns == NEVER)
        c->held_ns = now_ns;
    c->is_held = !reads && now_ns >= c->held_ns + held_after_ns;
}

void collector_stop(struct collector *c, uint64_t now_ns)
{
    if (c->gone || c->stopping)
        return;
    c->stopping = true;
    c->moved_ns = now_ns;
    struct why why;
    fail(&why, ERR_CLOSED, "%s",
         c->options.supervised ? "" : "interrupted before a ventilator was there");
    if (c->membership.state == JOINED)
        collector_say_leave(c);
    else if (c->membership.session == 0)
        collector_exit(c, 255, &why);
}

/* ---- a turn ---- */

static void collector_give_up(struct collector *c)
{
    struct why why;
    bool was_cut = c->was_closed && (c->counts.input_cut || c->counts.not_run);
    fail(&why, ERR_CLOSED, "no ventilator%s%s for %" PRIu64 " s, %s",
         c->options.connect ? " at " : "", c->options.connect ? c->options.connect : "",
         c->options.give_up_ns / NS_PER_S,
         was_cut ? "and the job of the store was stopped before its end: with one it goes on"
                 : "so the job was given up");
    if (c->ending.phase == ENDING_CLOSED || (c->was_closed && !was_cut))
        collector_exit_by_counts(c);
    else
        collector_exit(c, 255, &why);
}

static void turn_membership(struct collector *c, uint64_t now_ns)
{
    if (c->ending.phase == ENDING_FLUSHING) /* all is in: nobody is needed to write it */
        c->membership.present_ns = now_ns;
    bool was_joined = c->membership.state == JOINED;
    switch (membership_turn(&c->membership, now_ns)) {
    case DUE_OPEN:
        outgoing_add(&c->outgoing, COLLECTOR_OPEN_CONTROL, NULL);
        break;
    case DUE_SILENT:
        c->is_careful |= was_joined;
        outgoing_drop_sends(&c->outgoing);
        outgoing_add(&c->outgoing, COLLECTOR_CLOSE_CONTROL, NULL);
        break;
    case DUE_HEARTBEAT:
        collector_say_heartbeat(c, now_ns);
        break;
    case DUE_GIVE_UP:
        collector_give_up(c);
        break;
    case DUE_NOTHING:
        break;
    }
}

/* When the sink goes although the ventilator has not said BYE: soon after there is none any more
 * where it was, but one that is only silent may still wait for CLOSED. */
static uint64_t leave_ns(const struct collector *c)
{
    const struct membership *m = &c->membership;
    uint64_t since = m->present_ns > c->ending.closed_ns ? m->present_ns : c->ending.closed_ns;
    if (c->ending.phase != ENDING_CLOSED)
        return NEVER;
    return m->refused ? since + m->limit_ns : c->ending.closed_ns + m->give_up_ns;
}

static void turn_ending(struct collector *c, uint64_t now_ns)
{
    if (ending_complete(&c->ending, &c->intake.stored)) {
        if (collector_has_news(c))
            collector_say_stored(c, now_ns);
        ending_flush(&c->ending, &c->intake.accepted, c->counts.input_cut);
        c->intake.closed = true;
        c->counts.not_run = c->ending.not_run.members;
        outgoing_add(&c->outgoing, COLLECTOR_FLUSH, NULL);
    }
    if (now_ns >= leave_ns(c))
        collector_exit_by_counts(c);
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
    if (c->gone)
        return;
    uint64_t late_ns = collector_late_ns(c, now_ns);
    if (late_ns >= slept_min_ns)
        membership_slept(&c->membership, late_ns, now_ns);
    if (c->intake.stalled_count && now_ns - c->retried_ns >= retry_interval_ns) {
        intake_retry(&c->intake);
        c->retried_ns = now_ns;
    }
    if (c->intake.moved) {
        c->intake.moved = false;
        c->moved_ns = now_ns;
        c->lacking = 0;
    }
    turn_ending(c, now_ns);
    if (!c->gone)
        turn_membership(c, now_ns);
    if (!c->gone && now_ns >= collector_ask_due(c))
        collector_say_heartbeat(c, now_ns);
    if (!c->gone && c->halting.fired.when && !c->halt_told && c->membership.state == JOINED)
        collector_say_halt(c);
    bool has_news = collector_has_news(c) && now_ns >= c->noted_ns + note_interval_ns;
    bool is_due = now_ns >= collector_origins_due(c) || now_ns >= collector_arrivals_due(c);
    if (!c->gone && (has_news || is_due))
        collector_say_stored(c, now_ns);
    update_counts(c);
    c->due_ns = collector_deadline(c);
}

uint64_t collector_deadline(const struct collector *c)
{
    if (c->gone)
        return NEVER;
    uint64_t deadline = clock_earlier(membership_deadline(&c->membership), leave_ns(c));
    if (collector_has_news(c))
        deadline = clock_earlier(deadline, c->noted_ns + note_interval_ns);
    if (c->intake.stalled_count)
        deadline = clock_earlier(deadline, c->retried_ns + retry_interval_ns);
    if (c->held_ns != NEVER && !c->is_held)
        deadline = clock_earlier(deadline, c->held_ns + held_after_ns);
    deadline = clock_earlier(deadline, collector_ask_due(c));
    deadline = clock_earlier(deadline, collector_origins_due(c));
    return clock_earlier(deadline, collector_arrivals_due(c));
}

bool collector_next_action(struct collector *c, struct collector_action *action)
{
    return outgoing_take(&c->outgoing, action);
}

/* ---- what it knows ---- */

bool collector_wants_results(const struct collector *c, uint64_t unstored_bytes)
{
    return unstored_bytes < c->options.window_max_bytes && c->intake.stalled_count == 0 &&
           !intake_waits_enough(&c->intake);
}

const struct collector_counts *collector_counts(const struct collector *c)
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
    return c->admitted_told ? &c->admitted : NULL;
}

const struct seqset *collector_not_run(const struct collector *c)
{
    return &c->ending.not_run;
}

uint64_t collector_total(const struct collector *c)
{
    return c->ending.total;
}

uint64_t collector_moved_at(const struct collector *c)
{
    return c->moved_ns;
}
