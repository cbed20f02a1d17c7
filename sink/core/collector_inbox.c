/* SPDX-License-Identifier: MPL-2.0 */
#include <inttypes.h>

#include "common/base/clock.h"
#include "sink/core/collector_state.h"

enum { LACKING_MAX = 5 }; /* DONEs in a row that name what the sink never got */

static void forget_end(struct collector *c)
{
    c->was_closed = c->counts.input_cut = false;
    c->counts.not_run = 0;
    seqset_clear(&c->ending.not_run);
}

static enum error take_welcome(struct collector *c, const struct frame_head *head,
                               struct bytes body, uint64_t now_ns)
{
    struct membership *m = &c->membership;
    struct sink_welcome welcome;
    enum error error = sink_welcome_take(body, &welcome);
    bool is_another = m->incarnation && head->incarnation != m->incarnation;
    if (!error && head->job != c->options.job)
        error = ERR_INVALID;
    if (!error && c->options.begin_life &&
        !c->options.begin_life(c->options.context, head->incarnation)) {
        collector_rejoin(c, now_ns); /* WELCOME is said once: only a new JOIN brings another one */
        return ERR_NONE;
    }
    if (!error)
        error = membership_welcome(m, head, &welcome, now_ns);
    if (error)
        return error;
    if (c->was_closed) /* the job goes on: how it ended is to be seen */
        forget_end(c);
    if (c->intake.is_strict && !(welcome.features & FEATURE_HANDED)) {
        struct why why;
        fail(&why, ERR_INVALID,
             "--strict-results needs a ventilator that says which worker was handed what, and this "
             "one does "
             "not: use programs of one release, or leave it out");
        collector_exit(c, 255, &why);
        return ERR_NONE;
    }
    if (is_another && c->options.is_volatile) {
        struct why why;
        fail(&why, ERR_INVALID,
             "the ventilator was started again, and without a store the sink cannot go on with it: "
             "what was written is of the job before; run it again");
        collector_exit(c, 255, &why);
        return ERR_NONE;
    }
    if (is_another) {
        ending_reopen(&c->ending);
        c->intake.closed = false;
        c->intake.last = UINT64_MAX;
    }
    senders_drop_before(&c->intake.senders, head->incarnation);
    if (is_another)
        handed_forget(&c->intake.handed);
    c->intake.incarnation = head->incarnation;
    c->asked_ns = 0;
    senders_untell(&c->intake.senders);
    c->arrivals_ns = now_ns;
    seqset_copy(&c->intake.news, &c->intake.stored);
    collector_say_stored(c, now_ns); /* also when nothing is stored: it is the answer to WELCOME */
    c->halt_told = false;
    if (c->stopping)
        collector_say_leave(c);
    c->moved_ns = now_ns;
    return ERR_NONE;
}

static enum error take_refuse(struct collector *c, struct bytes body)
{
    struct refuse m;
    enum error error = refuse_take(body, &m);
    if (error)
        return error;
    struct why why;
    int size = m.sentence.size < sizeof why.text ? (int)m.sentence.size : (int)sizeof why.text;
    fail(&why, ERR_INVALID, "the ventilator refused this sink: %.*s", size,
         size ? (const char *)m.sentence.data : "");
    bool was_over = c->was_closed && m.reason == REFUSE_OVER; /* and this is what it left */
    if (c->ending.phase == ENDING_CLOSED || was_over)
        collector_exit_by_counts(c);
    else
        collector_exit(c, 255, &why);
    return ERR_NONE;
}

static enum error take_again(struct collector *c, struct bytes body, uint64_t now_ns)
{
    struct again m;
    enum error error = again_take(body, &m);
    if (!error && m.session == c->membership.session)
        collector_rejoin(c, now_ns);
    return error;
}

/* The ventilator believes that all is stored, but some of it never came. A new JOIN tells it what
 * is there. */
static void say_what_lacks(struct collector *c, uint64_t now_ns)
{
    c->lacking++;
    if (c->lacking < LACKING_MAX) {
        collector_rejoin(c, now_ns);
        return;
    }
    struct why why;
    fail(&why, ERR_NOT_FOUND,
         "the ventilator says that all %" PRIu64 " tasks are stored, but the results of %" PRIu64
         " never came here, first of task %" PRIu64,
         c->ending.total, c->ending.missing.members, seqset_min(&c->ending.missing));
    collector_exit(c, 255, &why);
}

static enum error take_done(struct collector *c, struct bytes body, uint64_t now_ns)
{
    struct done m = {0};
    enum error error = done_take(body, &m);
    if (!error && m.total == UINT64_MAX)
        error = ERR_MALFORMED;
    if (!error && c->ending.phase == ENDING_CLOSED)
        collector_say_closed(c);
    if (!error && c->ending.phase <= ENDING_WANTED) {
        ending_want(&c->ending, &m, &c->intake.stored);
        c->counts.workers = m.workers;
        c->counts.input_cut = m.flags & DONE_INPUT_CUT;
        if (!c->counts.input_cut) {
            halting_total(&c->halting, m.total);
            intake_read(&c->intake, m.total, true);
        }
        if (ending_lacks(&c->ending, &c->intake.accepted))
            say_what_lacks(c, now_ns);
    }
    done_free(&m);
    return error;
}

static enum error collector_inbox_take_status(struct collector *c, struct bytes body)
{
    struct status status;
    enum error error = status_take(body, &status);
    if (error)
        return error;
    c->counts.status = status;
    intake_read(&c->intake, status.read, status.flags & STATUS_INPUT_ENDED);
    if (status.out && !c->begun) {
        c->begun = true;
        outgoing_add(&c->outgoing, COLLECTOR_BEGIN, NULL);
    }
    halting_total(&c->halting, status.total);
    if (status.workers > c->counts.workers)
        c->counts.workers = status.workers;
    return ERR_NONE;
}

/* What the session (0: each) had been handed before that is known. */
static void collector_inbox_judge(struct collector *c, uint64_t session, uint64_t before_ns,
                                  uint64_t now_ns)
{
    struct session_tasks strange;
    while (intake_judge(&c->intake, session, before_ns, &strange)) {
        if (!seqset_empty(&strange.tasks))
            collector_say_strange(c, &strange, now_ns);
        session_tasks_free(&strange);
    }
}

static enum error take_ended(struct collector *c, struct bytes body, uint64_t now_ns)
{
    uint64_t session;
    enum error error = number_take(body, &session);
    if (error)
        return error;
    senders_end(&c->intake.senders, c->membership.incarnation, session);
    if (session)
        collector_inbox_judge(c, session, NEVER, now_ns);
    handed_end(&c->intake.handed, session, &c->intake.accepted);
    return ERR_NONE;
}

static enum error take_handed(struct collector *c, struct bytes body)
{
    struct session_tasks m = {0};
    enum error error = session_tasks_take(body, &m);
    if (!error && c->intake.is_strict)
        intake_handed(&c->intake, &m);
    session_tasks_free(&m);
    return error;
}

static enum error take_strange(struct collector *c, struct bytes body)
{
    struct released m = {0};
    enum error error = released_take(body, &m);
    if (!error && c->options.strange)
        c->options.strange(c->options.context, &m.tasks);
    released_free(&m);
    return error;
}

static void take_goodbye(struct collector *c)
{
    if (c->ending.phase == ENDING_CLOSED) {
        collector_exit_by_counts(c);
        return;
    }
    struct why why;
    fail(&why, ERR_CLOSED, "the ventilator left before the job was over");
    collector_exit(c, 255, &why);
}

static enum error take_stop(struct collector *c, struct bytes body)
{
    struct stop m;
    enum error error = stop_take(body, &m);
    if (!error && m.reason == STOP_JOB_OVER)
        take_goodbye(c);
    else if (!error)
        c->stopping = true; /* DONE will say what was not run */
    return error;
}

/* The sink before this one has decided it. */
static enum error take_halt(struct collector *c, struct bytes body)
{
    struct halt m;
    enum error error = halt_take(body, &m);
    if (error || c->halting.fired.when)
        return error;
    c->halting.fired = m;
    c->halt_told = true;
    return ERR_NONE;
}

static enum error take_check(struct collector *c, struct bytes body)
{
    uint64_t from;
    enum error error = number_take(body, &from);
    if (!error && from == 0)
        error = ERR_MALFORMED;
    if (!error)
        collector_say_hashes(c, from);
    return error;
}

static enum error take_admitted(struct collector *c, struct bytes body)
{
    struct admitted told = {0};
    enum error error = admitted_take(body, &told);
    if (error) {
        admitted_free(&told);
        return error;
    }
    admitted_free(&c->admitted);
    c->admitted = told;
    c->admitted_told = true;
    return ERR_NONE;
}

/* With a session, it answers one of ours. */
static enum error take_heartbeat(struct collector *c, struct bytes body, uint64_t now_ns)
{
    struct heartbeat m = {0};
    enum error error = heartbeat_take(body, &m);
    if (!error)
        membership_answered(&c->membership, now_ns);
    if (!error && c->membership.state == JOINED)
        collector_inbox_judge(c, 0, m.clock_ns, now_ns);
    heartbeat_free(&m);
    return error;
}

static enum error take_protest(struct bytes body)
{
    struct protest m;
    return protest_take(body, &m);
}

static bool answers_join(enum wire_kind kind)
{
    return kind == KIND_WELCOME || kind == KIND_REFUSE || kind == KIND_HEARTBEAT;
}

static enum error take_joining(struct collector *c, const struct frame_head *head,
                               struct bytes body, uint64_t now_ns)
{
    switch ((unsigned)head->kind) {
    case KIND_WELCOME:
        return take_welcome(c, head, body, now_ns);
    case KIND_REFUSE:
        return take_refuse(c, body);
    case KIND_HEARTBEAT: /* wait */
        return take_heartbeat(c, body, now_ns);
    default:
        return ERR_KIND;
    }
}

static enum error take_joined(struct collector *c, const struct frame_head *head, struct bytes body,
                              uint64_t now_ns)
{
    if ((head->session && head->session != c->membership.session) ||
        (head->job && head->job != c->options.job))
        return ERR_INVALID;
    switch ((unsigned)head->kind) {
    case KIND_HEARTBEAT:
        return take_heartbeat(c, body, now_ns);
    case KIND_VERDICT:
        return intake_verdict(&c->intake, head, body);
    case KIND_STATUS:
        return collector_inbox_take_status(c, body);
    case KIND_DONE:
        return take_done(c, body, now_ns);
    case KIND_ENDED:
        return take_ended(c, body, now_ns);
    case KIND_HANDED:
        return take_handed(c, body);
    case KIND_STRANGE:
        return take_strange(c, body);
    case KIND_CHECK:
        return take_check(c, body);
    case KIND_HALT:
        return take_halt(c, body);
    case KIND_ADMITTED:
        return take_admitted(c, body);
    case KIND_PROTEST: /* the ventilator says it to users as well */
        return take_protest(body);
    case KIND_AGAIN:
        return take_again(c, body, now_ns);
    case KIND_REFUSE:
        return take_refuse(c, body);
    case KIND_STOP:
        return take_stop(c, body);
    case KIND_BYE:
        take_goodbye(c);
        return ERR_NONE;
    default:
        return ERR_KIND;
    }
}

enum error collector_take(struct collector *c, struct bytes message, uint64_t now_ns)
{
    struct frame_head head;
    struct bytes body;
    enum error error = frame_take(message, &head, &body);
    if (error == ERR_VERSION && head.kind == KIND_REFUSE) {
        struct why why;
        fail(&why, error,
             "the ventilator speaks version %u of the protocol, this sink version %u: use programs "
             "of one release",
             message.data[1], (unsigned)WIRE_VERSION);
        collector_exit(c, 255, &why);
    }
    if (error)
        return error;
    membership_present(&c->membership, now_ns);
    if (c->membership.state == JOINED || answers_join(head.kind))
        membership_heard(&c->membership, collector_late_ns(c, now_ns), now_ns);
    if (c->membership.state == JOINING)
        return take_joining(c, &head, body, now_ns);
    return take_joined(c, &head, body, now_ns);
}
