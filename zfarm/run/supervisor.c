/* SPDX-License-Identifier: MPL-2.0 */
#include "zfarm/run/supervisor.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Once sink or ventilator has ended, the others end by themselves; after this long they are helped. */
#define CLOSE_NS (5 * NS_PER_S)
/* The same when the ventilator has given up: the sink has been told, and sums up. */
#define CLOSE_FAILED_NS NS_PER_S
/* Who was told to end at once is killed then. */
#define KILL_NS (2 * NS_PER_S)
#define RESTART_FIRST_NS (100 * NS_PER_MS)
#define RESTART_MAX_NS (5 * NS_PER_S)
/* Who has lived so long is started again without delay next time. */
#define RESTART_CALM_NS (10 * NS_PER_S)
/* A worker leaves when the job is over, too: then the ventilator has ended by then, which waits a second for whoever
 * has not heard of it. */
#define LEFT_NS (3 * NS_PER_S)
/* Two equal signals within this were sent together: `timeout` sends one to its child and one to its group. */
#define TOGETHER_NS (5 * NS_PER_MS)

const char *member_name(enum member member)
{
    static const char *const names[MEMBERS] = {"ventilator", "worker", "sink"};
    return names[member];
}

const char *supervisor_state_name(enum supervisor_state state)
{
    static const char *const names[SUPERVISOR_STATES] = {"starting the ventilator",
                                                         "starting the worker",
                                                         "starting the sink",
                                                         "running",
                                                         "stopping",
                                                         "closing",
                                                         "ending",
                                                         "over"};
    return names[state];
}

void supervisor_init(struct supervisor *s, const struct supervisor_options *options,
                     uint64_t now_ns)
{
    *s = (struct supervisor){
        .options = *options, .interrupted_ns = NEVER, .status = -1, .due_ns = NEVER};
    for (enum member m = 0; m < MEMBERS; m++)
        s->members[m].due_ns = NEVER;
    s->members[MEMBER_VENTILATOR].due_ns = now_ns;
}

/* ---- actions ---- */

static struct supervisor_action *supervisor_push(struct supervisor *s,
                                                 enum supervisor_action_kind kind)
{
    assert(s->action_count < SUPERVISOR_ACTIONS_MAX);
    struct supervisor_action *action =
        &s->actions[(s->action_first + s->action_count++) % SUPERVISOR_ACTIONS_MAX];
    action->kind = kind;
    action->why.text[0] = '\0';
    return action;
}

bool supervisor_next_action(struct supervisor *s, struct supervisor_action *action)
{
    if (s->action_count == 0)
        return false;
    *action = s->actions[s->action_first];
    s->action_first = (s->action_first + 1) % SUPERVISOR_ACTIONS_MAX;
    s->action_count--;
    return true;
}

__attribute__((format(printf, 2, 3))) static void supervisor_say(struct supervisor *s,
                                                                 const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct supervisor_action *action = supervisor_push(s, SUPERVISOR_SAY);
    vsnprintf(action->why.text, sizeof action->why.text, format, args);
    va_end(args);
}

static void tell_member(struct supervisor *s, enum member member, enum order order)
{
    if (!s->members[member].alive)
        return;
    struct supervisor_action *action = supervisor_push(s, SUPERVISOR_SIGNAL);
    action->member = member;
    action->order = order;
}

static void tell_members(struct supervisor *s, enum order order)
{
    for (enum member m = 0; m < MEMBERS; m++)
        tell_member(s, m, order);
}

static void tell_hosts(struct supervisor *s, enum order order)
{
    if (s->hosts_left)
        supervisor_push(s, SUPERVISOR_SIGNAL_HOSTS)->order = order;
}

/* ---- states ---- */

static void supervisor_set_status(struct supervisor *s, int status)
{
    if (s->status < 0)
        s->status = status;
}

/* From here on no member is started, whichever is due. */
static void supervisor_enter(struct supervisor *s, enum supervisor_state state, uint64_t due_ns)
{
    if (s->state < SUPERVISOR_STOPPING)
        supervisor_push(s, SUPERVISOR_NO_MORE);
    for (enum member m = 0; m < MEMBERS; m++)
        s->members[m].due_ns = NEVER;
    s->state = state;
    s->due_ns = due_ns;
}

static void end_now(struct supervisor *s, uint64_t now_ns)
{
    if (s->state >= SUPERVISOR_ENDING)
        return;
    supervisor_enter(s, SUPERVISOR_ENDING, now_ns + KILL_NS);
    supervisor_set_status(s, 255);
    tell_members(s, ORDER_END_NOW);
    tell_hosts(s, ORDER_END_NOW);
}

/* The name of the member without which nothing that runs can finish, or NULL: a ventilator that was ready, for it is to
 * be told, and without it no task was handed out; a sink, for no other one is started any more. */
static const char *missing_member(const struct supervisor *s)
{
    const struct supervisor_member *ventilator = &s->members[MEMBER_VENTILATOR];
    if (!ventilator->alive || !ventilator->told_ready)
        return member_name(MEMBER_VENTILATOR);
    return s->members[MEMBER_SINK].alive ? NULL : member_name(MEMBER_SINK);
}

/* What runs may finish, until `due_ns`; if a member is missing, nothing is worth waiting for. */
static void supervisor_stop(struct supervisor *s, uint64_t due_ns, uint64_t now_ns)
{
    if (s->state != SUPERVISOR_RUNNING || missing_member(s)) {
        end_now(s, now_ns);
        return;
    }
    supervisor_enter(s, SUPERVISOR_STOPPING, due_ns);
    supervisor_set_status(s, 255);
    tell_member(s, MEMBER_VENTILATOR, ORDER_STOP);
}

static void close_farm(struct supervisor *s, int status, uint64_t due_ns)
{
    supervisor_set_status(s, status);
    supervisor_enter(s, SUPERVISOR_CLOSING, due_ns);
}

bool supervisor_is_ending(const struct supervisor *s)
{
    return s->state >= SUPERVISOR_STOPPING;
}

bool supervisor_wants_input(const struct supervisor *s)
{
    const struct supervisor_member *ventilator = &s->members[MEMBER_VENTILATOR];
    return !supervisor_is_ending(s) && s->pause == PAUSE_NONE &&
           (ventilator->alive || ventilator->due_ns != NEVER);
}

/* ---- members ---- */

void supervisor_ready(struct supervisor *s, enum member member, uint64_t now_ns)
{
    s->members[member].told_ready = true;
    if (member == MEMBER_VENTILATOR && s->state == SUPERVISOR_STARTING_VENTILATOR) {
        supervisor_push(s, SUPERVISOR_BEGIN_HOSTS);
        s->state = s->options.has_worker ? SUPERVISOR_STARTING_WORKER : SUPERVISOR_STARTING_SINK;
        s->members[s->options.has_worker ? MEMBER_WORKER : MEMBER_SINK].due_ns = now_ns;
    } else if (member == MEMBER_WORKER && s->state == SUPERVISOR_STARTING_WORKER) {
        s->state = SUPERVISOR_STARTING_SINK;
        s->members[MEMBER_SINK].due_ns = now_ns;
    } else if (member == MEMBER_SINK && s->state == SUPERVISOR_STARTING_SINK) {
        s->state = SUPERVISOR_RUNNING;
    }
}

/* Returns whether another one is started. */
static bool start_again(struct supervisor *s, enum member member, struct member_end end,
                        uint64_t now_ns)
{
    struct supervisor_member *m = &s->members[member];
    if (!end.signal || !s->options.restarts[member] || supervisor_is_ending(s))
        return false;
    bool calm = now_ns - m->started_ns > RESTART_CALM_NS;
    m->delay_ns = calm || !m->delay_ns ? RESTART_FIRST_NS : m->delay_ns * 2;
    if (m->delay_ns > RESTART_MAX_NS)
        m->delay_ns = RESTART_MAX_NS;
    m->due_ns = now_ns + m->delay_ns;
    supervisor_say(s, "the %s was killed by signal %d; another one is started", member_name(member),
                   end.signal);
    return true;
}

/* It has said why, if it ended by itself. */
static void worker_ended(struct supervisor *s, struct member_end end, uint64_t now_ns)
{
    bool was_starting = s->state == SUPERVISOR_STARTING_WORKER;
    struct supervisor_member *worker = &s->members[MEMBER_WORKER];
    if (supervisor_is_ending(s))
        return;
    if (end.status == 0 && !was_starting) {
        worker->has_left = !s->hosts_left; /* those go on without it */
        worker->due_ns = worker->has_left ? now_ns + LEFT_NS : NEVER;
        return;
    }
    supervisor_stop(s, now_ns + CLOSE_NS, now_ns);
}

static void sink_was_killed(struct supervisor *s, struct member_end end, uint64_t now_ns)
{
    if (s->state < SUPERVISOR_CLOSING)
        supervisor_say(s, "the sink was killed by signal %d%s; run it again", end.signal,
                       s->options.has_store ? "" : ", and what it had not written is lost");
    if (s->state == SUPERVISOR_CLOSING)
        return; /* all was written before */
    end_now(s, now_ns);
}

static void sink_ended(struct supervisor *s, struct member_end end, bool was_ready, uint64_t now_ns)
{
    if (s->state >= SUPERVISOR_ENDING)
        return;
    if (end.signal) {
        sink_was_killed(s, end, now_ns);
    } else if (!was_ready || (end.status == 255 && s->interrupted_ns == NEVER)) {
        supervisor_set_status(s, 255); /* it has said why */
        end_now(s, now_ns);
    } else {
        close_farm(s, end.status, now_ns + CLOSE_NS);
    }
}

static void ventilator_ended(struct supervisor *s, struct member_end end, uint64_t now_ns)
{
    if (s->state >= SUPERVISOR_ENDING)
        return;
    if (end.signal && s->state != SUPERVISOR_CLOSING) {
        supervisor_say(s, "the ventilator was killed by signal %d; run it again", end.signal);
        end_now(s, now_ns);
        return;
    }
    if (s->state < SUPERVISOR_RUNNING) {
        end_now(s, now_ns); /* it has said why */
        return;
    }
    /* If the worker came too late to be told that the job is over. */
    tell_member(s, MEMBER_WORKER, ORDER_STOP);
    tell_hosts(s, ORDER_STOP);
    if (s->state == SUPERVISOR_CLOSING)
        return; /* the sink has ended before */
    /* After its goodbye the sink is about to end; otherwise it is told by nobody that all is over. */
    close_farm(s, end.status, now_ns + (end.status == 255 ? CLOSE_FAILED_NS : CLOSE_NS));
}

void supervisor_ended(struct supervisor *s, enum member member, struct member_end end,
                      uint64_t now_ns)
{
    bool was_ready = s->members[member].told_ready;
    s->members[member].alive = s->members[member].told_ready = s->members[member].holds = false;
    if (start_again(s, member, end, now_ns))
        return;
    if (member == MEMBER_WORKER)
        worker_ended(s, end, now_ns);
    else if (member == MEMBER_SINK)
        sink_ended(s, end, was_ready, now_ns);
    else
        ventilator_ended(s, end, now_ns);
}

void supervisor_not_started(struct supervisor *s, enum member member, const char *why,
                            uint64_t now_ns)
{
    s->members[member].alive = false;
    supervisor_failed(s, why, now_ns);
}

/* ---- what ends it ---- */

void supervisor_failed(struct supervisor *s, const char *why, uint64_t now_ns)
{
    if (why[0])
        supervisor_say(s, "%s", why);
    if (!supervisor_is_ending(s))
        supervisor_stop(s, now_ns + CLOSE_NS, now_ns);
}

void supervisor_interrupted(struct supervisor *s, const char *name, bool key, bool insists,
                            uint64_t now_ns)
{
    supervisor_go(s, now_ns);
    bool first = s->interrupted_ns == NEVER;
    bool same = !first && strcmp(name, s->interrupted_by) == 0;
    bool together = same && !key && now_ns - s->interrupted_ns < TOGETHER_NS;
    if (s->state >= SUPERVISOR_ENDING || together || (!first && !insists))
        return;
    if (first) {
        s->interrupted_ns = now_ns;
        s->interrupted_by = name;
    }
    if (supervisor_is_ending(s)) {
        end_now(s, now_ns);
        return;
    }
    const char *lacking = s->state == SUPERVISOR_RUNNING ? missing_member(s) : NULL;
    supervisor_stop(s, NEVER, now_ns);
    if (s->state == SUPERVISOR_STOPPING)
        supervisor_say(s, "stopping: what runs may finish; a second signal ends it at once");
    else if (lacking)
        supervisor_say(s, "interrupted by %s without a %s: all ends at once", name, lacking);
    else
        supervisor_say(s, "interrupted by %s before anything was run", name);
}

void supervisor_set_hosts_left(struct supervisor *s, bool left)
{
    s->hosts_left = left;
}

/* ---- ^Z ---- */

void supervisor_hold(struct supervisor *s, uint64_t now_ns)
{
    if (s->pause != PAUSE_NONE || s->state >= SUPERVISOR_ENDING)
        return;
    s->pause = PAUSE_WANTED;
    s->paused_ns = now_ns;
    for (enum member m = 0; m < MEMBERS; m++)
        s->members[m].holds = s->members[m].alive;
    tell_members(s, ORDER_HOLD);
}

void supervisor_holds(struct supervisor *s, enum member member)
{
    s->members[member].holds = false;
}

static void postpone_due(uint64_t *due_ns, uint64_t by_ns)
{
    if (*due_ns != NEVER)
        *due_ns += by_ns;
}

void supervisor_go(struct supervisor *s, uint64_t now_ns)
{
    if (s->pause == PAUSE_NONE)
        return;
    s->pause = PAUSE_NONE;
    uint64_t by_ns = now_ns - s->paused_ns;
    postpone_due(&s->due_ns, by_ns);
    for (enum member m = 0; m < MEMBERS; m++) {
        postpone_due(&s->members[m].due_ns, by_ns);
        s->members[m].holds = false;
    }
    tell_members(s, ORDER_GO);
}

static bool anybody_is_to_hold(const struct supervisor *s)
{
    for (enum member m = 0; m < MEMBERS; m++)
        if (s->members[m].holds)
            return true;
    return false;
}

/* ---- a turn ---- */

static void turn_pause(struct supervisor *s, uint64_t now_ns)
{
    bool late = now_ns >= s->paused_ns + SUPERVISOR_HOLD_NS;
    if (s->pause != PAUSE_WANTED || (anybody_is_to_hold(s) && !late))
        return;
    s->pause = PAUSE_HELD;
    supervisor_push(s, SUPERVISOR_PAUSE);
}

static void start_due_members(struct supervisor *s, uint64_t now_ns)
{
    for (enum member m = 0; m < MEMBERS; m++) {
        struct supervisor_member *member = &s->members[m];
        if (now_ns < member->due_ns)
            continue;
        if (member->has_left)
            supervisor_say(s,
                           "the %s has left before the job was over, as a signal to it asks; "
                           "another one is started",
                           member_name(m));
        member->has_left = false;
        member->due_ns = NEVER;
        member->alive = true;
        member->started_ns = now_ns;
        supervisor_push(s, SUPERVISOR_START)->member = m;
    }
}

static void press_on(struct supervisor *s, uint64_t now_ns)
{
    if (now_ns < s->due_ns)
        return;
    if (s->state < SUPERVISOR_ENDING) {
        end_now(s, now_ns);
        return;
    }
    if (s->members[MEMBER_SINK].alive && s->members[MEMBER_SINK].told_ready)
        supervisor_say(s, "the sink does not end and is killed: what it had not written is lost");
    s->members[MEMBER_SINK].told_ready = false; /* said once */
    tell_members(s, ORDER_KILL);
    tell_hosts(s, ORDER_KILL);
    s->due_ns = now_ns + KILL_NS;
}

static bool anybody_left(const struct supervisor *s)
{
    for (enum member m = 0; m < MEMBERS; m++)
        if (s->members[m].alive || s->members[m].due_ns != NEVER)
            return true;
    return s->hosts_left;
}

void supervisor_turn(struct supervisor *s, uint64_t now_ns)
{
    if (s->exited)
        return;
    if (s->pause != PAUSE_NONE) {
        turn_pause(s, now_ns);
        return;
    }
    start_due_members(s, now_ns);
    press_on(s, now_ns);
    if (anybody_left(s))
        return;
    s->state = SUPERVISOR_OVER;
    s->due_ns = NEVER;
    s->exited = true;
    supervisor_push(s, SUPERVISOR_EXIT)->status = s->status < 0 ? 255 : s->status;
}

uint64_t supervisor_deadline(const struct supervisor *s)
{
    if (s->pause == PAUSE_WANTED)
        return s->paused_ns + SUPERVISOR_HOLD_NS;
    uint64_t due_ns = s->pause == PAUSE_NONE ? s->due_ns : NEVER;
    for (enum member m = 0; m < MEMBERS && s->pause == PAUSE_NONE; m++)
        if (s->members[m].due_ns < due_ns)
            due_ns = s->members[m].due_ns;
    return due_ns;
}
