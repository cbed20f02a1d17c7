/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/core/control_inbox.h"

#include "worker/core/leaving.h"
#include "worker/core/reports.h"
#include "worker/core/session.h"
#include "worker/core/slots_state.h"
#include "worker/core/work.h"

/* A handler returns false when the message makes no sense. */
typedef bool handler(struct slots *s, const struct frame_head *head, struct bytes body,
                     uint64_t now_ns);

/* ---- membership ---- */

/* Drops results of attempts that WELCOME cancels but that finished or failed before it came: they would
 * never be released. */
static void let_go_of_finished(struct slots *s, const struct seqset *kill)
{
    results_close(&s->results, &s->report);
    results_release(&s->results, kill);
    report_forget(&s->report, kill);
}

static bool on_welcome(struct slots *s, const struct frame_head *head, struct bytes body,
                       uint64_t now_ns)
{
    struct worker_welcome m = {0};
    bool fine = s->control.member.state == MEMBER_JOINING && head->session != 0 &&
                !worker_welcome_take(body, &m) && m.lanes.size < ENDPOINT_MAX &&
                m.results.size < ENDPOINT_MAX;
    if (fine) {
        if (s->control.member.head.job && s->control.member.head.job != head->job)
            work_forget(s);
        session_welcome(s, head, &m, now_ns);
        for (size_t i = 0; i < m.kill.count; i++)
            work_cancel_range(s, m.kill.ranges[i].first, m.kill.ranges[i].last);
        let_go_of_finished(s, &m.kill);
        results_release(&s->results, &m.have);
        outlet_begin_session(&s->outlet, m.epoch, now_ns);
        s->outlet.wants = m.wants;
        outlet_aim(&s->outlet, m.epoch, m.results, &m.sink, now_ns);
    }
    worker_welcome_free(&m);
    return fine;
}

static bool on_refuse(struct slots *s, const struct frame_head *head, struct bytes body,
                      uint64_t now_ns)
{
    (void)head;
    struct refuse m;
    if (s->control.member.state != MEMBER_JOINING || refuse_take(body, &m))
        return false;
    struct why why;
    fail(&why, ERR_NONE, "the ventilator at %s refuses this worker: %.*s", s->options.connect,
         (int)(m.sentence.size < 800 ? m.sentence.size : 800), (const char *)m.sentence.data);
    bool stay = s->options.stay && s->departure.leaving == STAYING;
    if (m.reason == REFUSE_FULL || (m.reason == REFUSE_OVER && stay)) {
        s->control.full = m.reason == REFUSE_FULL;
        if (m.reason == REFUSE_OVER)
            work_forget(s);
        session_leave(s, now_ns);
    } else if (m.reason == REFUSE_OVER && results_empty(&s->results)) {
        leave_stop(s, 0, &(struct why){""}, now_ns);
    } else {
        leave_stop(s, 255, &why, now_ns);
    }
    return true;
}

static void say_again(struct slots *s, const struct again *m)
{
    struct why why;
    fail(&why, ERR_NONE, "the ventilator at %s says: %.*s", s->options.connect,
         (int)(m->sentence.size < 400 ? m->sentence.size : 400),
         m->sentence.size ? (const char *)m->sentence.data : "");
    actions_say(&s->actions, &why);
}

static bool on_again(struct slots *s, const struct frame_head *head, struct bytes body,
                     uint64_t now_ns)
{
    (void)head;
    struct again m;
    if (again_take(body, &m))
        return false;
    if (!member_in_session(&s->control.member) || m.session != s->control.member.head.session)
        return true;
    if (m.reason == AGAIN_SILENT_LANE || m.reason == AGAIN_STRIPPED) {
        say_again(s, &m);
        session_rejoin(s, now_ns);
        return true;
    }
    if (++s->control.agains < AGAINS_MAX) {
        session_leave(s, now_ns);
        return true;
    }
    struct why why;
    fail(&why, ERR_NONE,
         "the ventilator at %s has told this worker %u times in a row to join again: %.*s",
         s->options.connect, s->control.agains,
         (int)(m.sentence.size < 400 ? m.sentence.size : 400),
         m.sentence.size ? (const char *)m.sentence.data : "");
    leave_stop(s, 255, &why, now_ns);
    return true;
}

static bool on_protest(struct slots *s, const struct frame_head *head, struct bytes body,
                       uint64_t now_ns)
{
    enum { LINES_A_MINUTE = 10 };
    (void)head;
    struct protest m;
    struct why why;
    char more[THROTTLE_WORDS_SIZE];
    if (protest_take(body, &m))
        return false;
    if (!throttle_line(&s->protest_lines, LINES_A_MINUTE, now_ns))
        return true;
    fail(&why, ERR_NONE, "a message of this worker made no sense (%s, octet %llu: %.*s)%s",
         m.kind < 256 ? wire_kind_name((unsigned)m.kind) : "?", (unsigned long long)m.offset,
         (int)(m.sentence.size < 400 ? m.sentence.size : 400),
         m.sentence.size ? (const char *)m.sentence.data : "",
         throttle_words(&s->protest_lines, more));
    actions_say(&s->actions, &why);
    return true;
}

static bool on_heartbeat(struct slots *s, const struct frame_head *head, struct bytes body,
                         uint64_t now_ns)
{
    struct heartbeat m = {0};
    bool fine = !heartbeat_take(body, &m);
    if (fine && s->control.member.state == MEMBER_JOINING)
        s->control.waiting = true;
    else if (fine && member_is_current(&s->control.member, head) &&
             m.clock_ns > s->control.echo_ns && m.clock_ns <= now_ns) {
        s->control.echo_ns = m.clock_ns;
        s->control.agains = 0;
        member_echoed(&s->control.member);
        member_answered(&s->control.member, now_ns - m.clock_ns, session_late_ns(s, now_ns));
        meter_round_trip(&s->meter, now_ns - m.clock_ns, now_ns);
    }
    heartbeat_free(&m);
    return fine;
}

static bool on_stop(struct slots *s, const struct frame_head *head, struct bytes body,
                    uint64_t now_ns)
{
    (void)head;
    struct stop m;
    if (stop_take(body, &m))
        return false;
    struct why why = {""};
    bool fine = m.reason == STOP_JOB_OVER || s->departure.leaving == DRAINING || s->options.stay;
    if (!fine && !s->options.supervised)
        fail(&why, ERR_NONE, "the ventilator at %s was interrupted", s->options.connect);
    leave_stop(s, fine ? 0 : 255, &why, now_ns);
    return true;
}

/* ---- tasks and results ---- */

static bool on_recall(struct slots *s, const struct frame_head *head, struct bytes body,
                      uint64_t now_ns)
{
    (void)head;
    uint64_t count;
    if (number_take(body, &count))
        return false;
    reports_return(s, count, RETURNED_RECALL);
    s->moved_ns = now_ns;
    return true;
}

static bool on_cancel(struct slots *s, const struct frame_head *head, struct bytes body,
                      uint64_t now_ns)
{
    (void)head;
    (void)now_ns;
    struct cancel m = {0};
    bool fine = !cancel_take(body, &m);
    for (size_t i = 0; fine && i < m.count; i++) {
        const struct cancel_item *item = &m.items[i];
        unsigned slot = 0;
        if (running_unwant(&s->running, item->seq, &item->attempt, &slot))
            work_cancel(s, slot, item->seq);
        else if (!backlog_remove(&s->backlog, item->seq, item->seq, &item->attempt) &&
                 item->batch > s->lane.batch && !worker_lane_remember(&s->lane, item))
            s->counts.dropped++;
    }
    cancel_free(&m);
    return fine;
}

static bool on_released(struct slots *s, const struct frame_head *head, struct bytes body,
                        uint64_t now_ns)
{
    (void)head;
    struct released m = {0};
    bool fine = !released_take(body, &m);
    if (fine) {
        uint64_t freed = results_release(&s->results, &m.tasks);
        if (freed)
            s->moved_ns = now_ns;
        /* Another worker's result of it is stored: this worker's would be the second. */
        for (size_t i = 0; freed < m.tasks.members && i < m.tasks.count; i++)
            work_cancel_range(s, m.tasks.ranges[i].first, m.tasks.ranges[i].last);
    }
    released_free(&m);
    return fine;
}

static bool on_sink(struct slots *s, const struct frame_head *head, struct bytes body,
                    uint64_t now_ns)
{
    (void)head;
    struct sink_news m;
    if (sink_news_take(body, &m) || m.results.size >= ENDPOINT_MAX)
        return false;
    s->outlet.wants = m.wants;
    outlet_aim(&s->outlet, m.epoch, m.results, &m.sink, now_ns);
    return true;
}

static bool on_received(struct slots *s, const struct frame_head *head, struct bytes body,
                        uint64_t now_ns)
{
    (void)head;
    struct received m;
    if (received_take(body, &m))
        return false;
    outlet_received(&s->outlet, &m, now_ns);
    return true;
}

static bool on_resend(struct slots *s, const struct frame_head *head, struct bytes body,
                      uint64_t now_ns)
{
    (void)head;
    (void)now_ns;
    uint64_t batch;
    if (number_take(body, &batch))
        return false;
    kept_resend(&s->results.kept, batch);
    return true;
}

/* ---- which handler ---- */

static const struct {
    handler *handle;
    bool in_session; /* the head must be that of the current session */
} handlers[] = {
    [KIND_WELCOME] = {on_welcome, false},  [KIND_REFUSE] = {on_refuse, false},
    [KIND_AGAIN] = {on_again, false},      [KIND_HEARTBEAT] = {on_heartbeat, false},
    [KIND_RECALL] = {on_recall, true},     [KIND_CANCEL] = {on_cancel, true},
    [KIND_RELEASED] = {on_released, true}, [KIND_SINK] = {on_sink, true},
    [KIND_RESEND] = {on_resend, true},     [KIND_STOP] = {on_stop, true},
    [KIND_PROTEST] = {on_protest, true},   [KIND_RECEIVED] = {on_received, true},
};

/* A REFUSE of another version: nothing but its kind can be believed, and that says enough. */
static void refused_by_stranger(struct slots *s)
{
    struct why why;
    fail(&why, ERR_VERSION,
         "the ventilator at %s speaks another version of the protocol than this worker (%d): use "
         "programs of one release",
         s->options.connect, WIRE_VERSION);
    leave_exit(s, 255, &why);
}

void control_inbox_message(struct slots *s, struct bytes message, uint64_t now_ns)
{
    struct frame_head head;
    struct bytes body;
    bool awake = !s->gone && s->control.member.state != MEMBER_AWAY &&
                 s->control.member.state != MEMBER_CONNECTING;
    enum error error = frame_take(message, &head, &body);
    if (awake && error == ERR_VERSION && head.kind == KIND_REFUSE &&
        s->control.member.state == MEMBER_JOINING) {
        refused_by_stranger(s);
        return;
    }
    size_t kind = head.kind;
    bool known =
        awake && !error && kind < sizeof handlers / sizeof *handlers && handlers[kind].handle;
    if (known) {
        member_heard(&s->control.member, now_ns);
        known = (!handlers[kind].in_session || member_is_current(&s->control.member, &head)) &&
                handlers[kind].handle(s, &head, body, now_ns);
    }
    s->counts.dropped += !known;
}
