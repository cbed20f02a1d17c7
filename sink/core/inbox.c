/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/core/inbox.h"

#include <inttypes.h>

#include "common/base/clock.h"
#include "common/base/xalloc.h"

enum { LACKING_MAX = 5 }; /* DONEs in a row that name what the sink never got */

void inbox_free(struct inbox *in)
{
    admitted_free(&in->admitted);
}

static void inbox_exit(struct inbox *in, const struct why *why)
{
    outgoing_exit(&in->uplink->outgoing, 255, why);
}

static void inbox_exit_by_counts(struct inbox *in)
{
    ending_exit(in->ending, in->counts, in->halting, in->options->supervised, in->uplink);
}

/* ---- WELCOME ---- */

/* The job goes on: how it ended is to be seen. */
static void forget_end(struct inbox *in)
{
    if (!in->ending->was_closed)
        return;
    in->counts->input_cut = false;
    in->counts->not_run = 0;
    ending_forget(in->ending);
}

/* Whether the sink can go on with this ventilator; if not, it ends with words. */
static bool can_go_on(struct inbox *in, const struct sink_welcome *welcome, bool is_another_life)
{
    struct why why;
    if (in->intake->is_strict && !(welcome->features & FEATURE_HANDED))
        fail(&why, ERR_INVALID,
             "--strict-results needs a ventilator that says which worker was handed what, and this "
             "one does "
             "not: use programs of one release, or leave it out");
    else if (is_another_life && in->options->is_volatile)
        fail(&why, ERR_INVALID,
             "the ventilator was started again, and without a store the sink cannot go on with it: "
             "what was written is of the job before; run it again");
    else
        return true;
    inbox_exit(in, &why);
    return false;
}

static void begin_session(struct inbox *in, bool is_another_life, uint64_t now_ns)
{
    if (is_another_life)
        ending_reopen(in->ending);
    intake_begin_session(in->intake, in->uplink->membership.member.head.incarnation,
                         is_another_life);
    notes_begin(in->notes, now_ns);
    /* Also when nothing is stored: it is the answer to WELCOME. */
    notes_say(in->notes, in->uplink, in->intake, in->backpressure, now_ns);
    in->halting->is_told = false;
    if (in->ending->is_interrupted)
        uplink_say_leave(in->uplink);
    in->welcomed_ns = now_ns;
}

static enum error take_welcome(struct inbox *in, const struct frame_head *head, struct bytes body,
                               uint64_t now_ns)
{
    const struct member *m = &in->uplink->membership.member;
    const struct collector_options *o = in->options;
    struct sink_welcome welcome;
    enum error error = sink_welcome_take(body, &welcome);
    bool is_another_life = m->head.incarnation && head->incarnation != m->head.incarnation;
    if (!error && head->job != o->job)
        error = ERR_INVALID;
    if (!error && o->begin_life && !o->begin_life(o->context, head->incarnation)) {
        uplink_rejoin(in->uplink,
                      now_ns); /* WELCOME is said once: only a new JOIN brings another one */
        return ERR_NONE;
    }
    if (!error)
        error = uplink_welcome(in->uplink, head, &welcome, now_ns);
    if (error)
        return error;
    forget_end(in);
    if (can_go_on(in, &welcome, is_another_life))
        begin_session(in, is_another_life, now_ns);
    return ERR_NONE;
}

/* ---- the rest of what is said ---- */

static enum error take_refuse(struct inbox *in, struct bytes body)
{
    struct refuse m;
    enum error error = refuse_take(body, &m);
    if (error)
        return error;
    struct why why;
    int size = m.sentence.size < sizeof why.text ? (int)m.sentence.size : (int)sizeof why.text;
    fail(&why, ERR_INVALID, "the ventilator refused this sink: %.*s", size,
         size ? (const char *)m.sentence.data : "");
    bool was_over =
        in->ending->was_closed && m.reason == REFUSE_OVER; /* and this is what it left */
    if (in->ending->phase == ENDING_CLOSED || was_over)
        inbox_exit_by_counts(in);
    else
        inbox_exit(in, &why);
    return ERR_NONE;
}

static enum error take_again(struct inbox *in, struct bytes body, uint64_t now_ns)
{
    struct again m;
    enum error error = again_take(body, &m);
    if (!error && m.session == in->uplink->membership.member.head.session)
        uplink_rejoin(in->uplink, now_ns);
    return error;
}

/* The ventilator believes that all is stored, but some of it never came. A new JOIN tells it what
 * is there. */
static void say_what_lacks(struct inbox *in, uint64_t now_ns)
{
    in->ending->lacking++;
    if (in->ending->lacking < LACKING_MAX) {
        uplink_rejoin(in->uplink, now_ns);
        return;
    }
    struct why why;
    fail(&why, ERR_NOT_FOUND,
         "the ventilator says that all %" PRIu64 " tasks are stored, but the results of %" PRIu64
         " never came here, first of task %" PRIu64,
         in->ending->total, in->ending->missing.members, seqset_min(&in->ending->missing));
    inbox_exit(in, &why);
}

static enum error take_done(struct inbox *in, struct bytes body, uint64_t now_ns)
{
    struct done m = {0};
    enum error error = done_take(body, &m);
    if (!error && m.total == UINT64_MAX)
        error = ERR_MALFORMED;
    if (!error && in->ending->phase == ENDING_CLOSED)
        ending_say_closed(in->ending, in->counts, in->halting, in->uplink);
    if (!error && in->ending->phase <= ENDING_WANTED) {
        ending_want(in->ending, &m, &in->intake->stored);
        in->counts->workers = m.workers;
        in->counts->input_cut = m.flags & DONE_INPUT_CUT;
        if (!in->counts->input_cut) {
            halting_total(in->halting, m.total);
            intake_read(in->intake, m.total, true);
        }
        if (ending_lacks(in->ending, &in->intake->accepted))
            say_what_lacks(in, now_ns);
    }
    done_free(&m);
    return error;
}

static enum error take_status(struct inbox *in, struct bytes body)
{
    struct status status;
    enum error error = status_take(body, &status);
    if (error)
        return error;
    in->counts->status = status;
    intake_read(in->intake, status.read, status.flags & STATUS_INPUT_ENDED);
    if (status.out && !in->has_begun) {
        in->has_begun = true;
        outgoing_add(&in->uplink->outgoing, COLLECTOR_BEGIN, NULL);
    }
    halting_total(in->halting, status.total);
    if (status.workers > in->counts->workers)
        in->counts->workers = status.workers;
    return ERR_NONE;
}

/* What the session (0: each) had been handed before that is known. */
static void inbox_decide(struct inbox *in, uint64_t session, uint64_t before_ns, uint64_t now_ns)
{
    struct session_tasks strange;
    while (intake_decide(in->intake, session, before_ns, &strange)) {
        in->counts->strange += strange.tasks.members;
        if (!seqset_empty(&strange.tasks))
            uplink_say_strange(in->uplink, &strange, now_ns);
        session_tasks_free(&strange);
    }
}

static enum error take_ended(struct inbox *in, struct bytes body, uint64_t now_ns)
{
    uint64_t session;
    enum error error = number_take(body, &session);
    if (error)
        return error;
    senders_end(&in->intake->senders, in->uplink->membership.member.head.incarnation, session);
    if (session)
        inbox_decide(in, session, NEVER, now_ns);
    handed_end(&in->intake->handed, session, &in->intake->accepted);
    return ERR_NONE;
}

static enum error take_handed(struct inbox *in, struct bytes body)
{
    struct session_tasks m = {0};
    enum error error = session_tasks_take(body, &m);
    if (!error && in->intake->is_strict)
        intake_handed(in->intake, &m);
    session_tasks_free(&m);
    return error;
}

static enum error take_strange(struct inbox *in, struct bytes body)
{
    struct released m = {0};
    enum error error = released_take(body, &m);
    if (!error && in->options->strange)
        in->options->strange(in->options->context, &m.tasks);
    released_free(&m);
    return error;
}

static void take_goodbye(struct inbox *in)
{
    if (in->ending->phase == ENDING_CLOSED) {
        inbox_exit_by_counts(in);
        return;
    }
    struct why why;
    fail(&why, ERR_CLOSED, "the ventilator left before the job was over");
    inbox_exit(in, &why);
}

static enum error take_stop(struct inbox *in, struct bytes body)
{
    struct stop m;
    enum error error = stop_take(body, &m);
    if (!error && m.reason == STOP_JOB_OVER)
        take_goodbye(in);
    else if (!error)
        in->ending->is_interrupted = true; /* DONE will say what was not run */
    return error;
}

/* The sink before this one has decided it. */
static enum error take_halt(struct inbox *in, struct bytes body)
{
    struct halt m;
    enum error error = halt_take(body, &m);
    if (error || in->halting->fired.when)
        return error;
    in->halting->fired = m;
    in->halting->is_told = true;
    return ERR_NONE;
}

static void say_hashes(struct inbox *in, uint64_t from)
{
    enum { HASH_BYTES = 16 + 2, CAREFUL = FRAME_CAREFUL / HASH_BYTES };
    size_t most = in->uplink->is_careful ? CAREFUL : HASHES_MAX;
    struct hashes m = {.from = from, .items = xcalloc(HASHES_MAX, sizeof *m.items)};
    struct buf message = {0};
    if (in->options->hashes)
        m.count = in->options->hashes(in->options->context, from, m.items);
    m.last = m.count < HASHES_MAX && m.count <= most;
    if (m.count > most)
        m.count = most;
    uplink_begin(in->uplink, &message, KIND_HASHES);
    hashes_put(&message, &m);
    uplink_send(in->uplink, &message);
    hashes_free(&m);
}

static enum error take_check(struct inbox *in, struct bytes body)
{
    uint64_t from;
    enum error error = number_take(body, &from);
    if (!error && from == 0)
        error = ERR_MALFORMED;
    if (!error)
        say_hashes(in, from);
    return error;
}

static enum error take_admitted(struct inbox *in, struct bytes body)
{
    struct admitted told = {0};
    enum error error = admitted_take(body, &told);
    if (error) {
        admitted_free(&told);
        return error;
    }
    admitted_free(&in->admitted);
    in->admitted = told;
    in->has_admitted = true;
    return ERR_NONE;
}

/* With a session, it answers one of ours. */
static enum error take_heartbeat(struct inbox *in, struct bytes body, uint64_t now_ns)
{
    struct heartbeat m = {0};
    enum error error = heartbeat_take(body, &m);
    if (!error)
        membership_answered(&in->uplink->membership, now_ns);
    if (!error && uplink_is_joined(in->uplink))
        inbox_decide(in, 0, m.clock_ns, now_ns);
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

static enum error take_joining(struct inbox *in, const struct frame_head *head, struct bytes body,
                               uint64_t now_ns)
{
    switch ((unsigned)head->kind) {
    case KIND_WELCOME:
        return take_welcome(in, head, body, now_ns);
    case KIND_REFUSE:
        return take_refuse(in, body);
    case KIND_HEARTBEAT: /* wait */
        return take_heartbeat(in, body, now_ns);
    default:
        return ERR_KIND;
    }
}

static enum error take_joined(struct inbox *in, const struct frame_head *head, struct bytes body,
                              uint64_t now_ns)
{
    if ((head->session && head->session != in->uplink->membership.member.head.session) ||
        (head->job && head->job != in->options->job))
        return ERR_INVALID;
    switch ((unsigned)head->kind) {
    case KIND_HEARTBEAT:
        return take_heartbeat(in, body, now_ns);
    case KIND_VERDICT:
        return intake_verdict(in->intake, head, body);
    case KIND_STATUS:
        return take_status(in, body);
    case KIND_DONE:
        return take_done(in, body, now_ns);
    case KIND_ENDED:
        return take_ended(in, body, now_ns);
    case KIND_HANDED:
        return take_handed(in, body);
    case KIND_STRANGE:
        return take_strange(in, body);
    case KIND_CHECK:
        return take_check(in, body);
    case KIND_HALT:
        return take_halt(in, body);
    case KIND_ADMITTED:
        return take_admitted(in, body);
    case KIND_PROTEST: /* the ventilator says it to users as well */
        return take_protest(body);
    case KIND_AGAIN:
        return take_again(in, body, now_ns);
    case KIND_REFUSE:
        return take_refuse(in, body);
    case KIND_STOP:
        return take_stop(in, body);
    case KIND_BYE:
        take_goodbye(in);
        return ERR_NONE;
    default:
        return ERR_KIND;
    }
}

enum error inbox_read(struct inbox *in, struct bytes message, uint64_t own_ns, uint64_t now_ns)
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
        inbox_exit(in, &why);
    }
    if (error)
        return error;
    in->uplink->membership.member.present_ns = now_ns;
    if (uplink_is_joined(in->uplink) || answers_join(head.kind))
        membership_heard(&in->uplink->membership, own_ns, now_ns);
    if (in->uplink->membership.member.state == MEMBER_JOINING)
        return take_joining(in, &head, body, now_ns);
    return take_joined(in, &head, body, now_ns);
}
