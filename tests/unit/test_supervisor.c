/* SPDX-License-Identifier: MPL-2.0 */
#include "zfarm/run/supervisor.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/base/splitmix.h"

#define BEGAN_NS (1000 * NS_PER_S)

TestSuite(supervisor, .timeout = 60);

/* The farm around it: who runs, and what was said. */
struct rig {
    struct supervisor s;
    uint64_t now_ns;
    unsigned starts, exits;
    int status;
    char did[2048]; /* "start worker; ventilator stop; ..." */
    char said[2048];
};

static const char *order_name(enum order order)
{
    static const char *const names[] = {"stop", "end now", "kill", "hold", "go"};
    return names[order];
}

static void note(struct rig *r, const char *who, const char *what)
{
    size_t used = strlen(r->did);
    snprintf(r->did + used, sizeof r->did - used, "%s%s %s", used ? "; " : "", who, what);
}

static void take_actions(struct rig *r)
{
    for (struct supervisor_action a; supervisor_next_action(&r->s, &a);)
        switch (a.kind) {
        case SUPERVISOR_START:
            r->starts++;
            note(r, "start", member_name(a.member));
            break;
        case SUPERVISOR_SIGNAL:
            note(r, member_name(a.member), order_name(a.order));
            break;
        case SUPERVISOR_BEGIN_HOSTS:
            note(r, "hosts", "begin");
            break;
        case SUPERVISOR_SIGNAL_HOSTS:
            note(r, "hosts", order_name(a.order));
            break;
        case SUPERVISOR_NO_MORE:
            break;
        case SUPERVISOR_SAY:
            snprintf(r->said + strlen(r->said), sizeof r->said - strlen(r->said), "%s\n",
                     a.why.text);
            break;
        case SUPERVISOR_PAUSE:
            note(r, "pause", "here");
            break;
        case SUPERVISOR_EXIT:
            cr_assert_eq(r->exits++, 0);
            r->status = a.status;
            break;
        }
}

static void turn(struct rig *r, uint64_t passed_ns)
{
    r->now_ns += passed_ns;
    supervisor_turn(&r->s, r->now_ns);
    take_actions(r);
}

static void clear_notes(struct rig *r)
{
    r->did[0] = r->said[0] = '\0';
}

static void ready(struct rig *r, enum member member)
{
    supervisor_ready(&r->s, member, r->now_ns);
    turn(r, 0);
}

static void ends(struct rig *r, enum member member, int signal, int status)
{
    supervisor_ended(&r->s, member, (struct member_end){signal, status}, r->now_ns);
    turn(r, 0);
}

static void interrupt(struct rig *r)
{
    supervisor_interrupted(&r->s, "TERM", false, true, r->now_ns);
    turn(r, 0);
}

static void begin(struct rig *r, bool has_store)
{
    struct supervisor_options options = {
        .has_worker = true, .restarts = {has_store, true, has_store}, .has_store = has_store};
    *r = (struct rig){.now_ns = BEGAN_NS, .status = -1};
    supervisor_init(&r->s, &options, r->now_ns);
    turn(r, 0);
}

/* Brings it into a state on the shortest way, with all three alive as far as they can be. */
static void bring(struct rig *r, bool has_store, enum supervisor_state state)
{
    begin(r, has_store);
    for (enum member m = 0; m < MEMBERS && r->s.state < state; m++)
        ready(r, m);
    r->now_ns += NS_PER_S;
    if (state == SUPERVISOR_STOPPING) {
        interrupt(r);
    } else if (state == SUPERVISOR_CLOSING) {
        ends(r, MEMBER_SINK, 0, 0);
    } else if (state == SUPERVISOR_ENDING) {
        interrupt(r);
        r->now_ns += NS_PER_S;
        interrupt(r);
    } else if (state == SUPERVISOR_OVER) {
        ends(r, MEMBER_SINK, 0, 0);
        ends(r, MEMBER_VENTILATOR, 0, 0);
        ends(r, MEMBER_WORKER, 0, 0);
    }
    cr_assert_eq(r->s.state, state, "%s", supervisor_state_name(r->s.state));
    r->now_ns += NS_PER_S;
    clear_notes(r);
}

enum event {
    VENTILATOR_READY,
    WORKER_READY,
    SINK_READY,
    VENTILATOR_ENDS_0,
    VENTILATOR_ENDS_255,
    VENTILATOR_KILLED,
    WORKER_ENDS_0,
    WORKER_ENDS_255,
    WORKER_KILLED,
    SINK_ENDS_0,
    SINK_ENDS_255,
    SINK_KILLED,
    TERM,
    KEY,
    HUP,
    SPOOL_FAILED, /* and all hosts refused */
    NOT_STARTED,
    HOLD_AND_GO,
    LONG_TIME,
    EVENTS
};

static void happen(struct rig *r, enum event event)
{
    switch (event) {
    case VENTILATOR_READY:
    case WORKER_READY:
    case SINK_READY:
        ready(r, (enum member)(event - VENTILATOR_READY));
        break;
    case VENTILATOR_ENDS_0:
    case WORKER_ENDS_0:
    case SINK_ENDS_0:
        ends(r, (enum member)((event - VENTILATOR_ENDS_0) / 3), 0, 0);
        break;
    case VENTILATOR_ENDS_255:
    case WORKER_ENDS_255:
    case SINK_ENDS_255:
        ends(r, (enum member)((event - VENTILATOR_ENDS_0) / 3), 0, 255);
        break;
    case VENTILATOR_KILLED:
    case WORKER_KILLED:
    case SINK_KILLED:
        ends(r, (enum member)((event - VENTILATOR_ENDS_0) / 3), 9, 255);
        break;
    case TERM:
        interrupt(r);
        break;
    case KEY:
        supervisor_interrupted(&r->s, "INT", true, true, r->now_ns);
        break;
    case HUP:
        supervisor_interrupted(&r->s, "HUP", false, false, r->now_ns);
        break;
    case SPOOL_FAILED:
        supervisor_failed(&r->s, "the spool failed", r->now_ns);
        break;
    case NOT_STARTED:
        supervisor_not_started(&r->s, MEMBER_SINK, "cannot start it", r->now_ns);
        break;
    case HOLD_AND_GO:
        supervisor_hold(&r->s, r->now_ns);
        turn(r, SUPERVISOR_HOLD_NS);
        r->now_ns += 3600 * NS_PER_S;
        supervisor_go(&r->s, r->now_ns);
        break;
    case LONG_TIME:
        turn(r, 10 * NS_PER_S);
        break;
    case EVENTS:
        break;
    }
    take_actions(r);
}

/* Each state times each event: the state that follows. In the table, by their first letters:
 * v w s: starting ventilator, worker, sink; r: running; t: stopping; c: closing; e: ending; o: over. */
static const char letters[] = "vwsrtceo";

static const struct {
    enum event event;
    const char *name;
    const char *bare;  /* what follows v, w, s, r, t, c, e, o */
    const char *store; /* the same with a store; NULL: the same */
} table[] = {
    {VENTILATOR_READY, "ventilator ready", "wwsrtceo", NULL},
    {WORKER_READY, "worker ready", "vssrtceo", NULL},
    {SINK_READY, "sink ready", "vwrrtceo", NULL},
    {VENTILATOR_ENDS_0, "ventilator ends, 0", "oeecccee", NULL},
    {VENTILATOR_ENDS_255, "ventilator ends, 255", "oeecccee", NULL},
    {VENTILATOR_KILLED, "ventilator killed", "oeeeecee", "vwsrecee"},
    {WORKER_ENDS_0, "worker ends, 0", "vesrtceo", NULL},
    {WORKER_ENDS_255, "worker ends, 255", "eeettceo", NULL},
    {WORKER_KILLED, "worker killed", "vwsrtceo", NULL},
    {SINK_ENDS_0, "sink ends, 0", "eeecccee", NULL},
    {SINK_ENDS_255, "sink ends, 255", "eeeeccee", NULL},
    {SINK_KILLED, "sink killed", "eeeeecee", "vwsrecee"},
    {TERM, "TERM", "eeeteeeo", NULL},
    {KEY, "a key", "eeeteeeo", NULL},
    {HUP, "HUP", "eeetteeo", NULL},
    {SPOOL_FAILED, "the spool fails", "eeettceo", NULL},
    {NOT_STARTED, "a sink cannot be started", "eeeetceo", NULL},
    {HOLD_AND_GO, "^Z and fg", "vwsrtceo", NULL},
    {LONG_TIME, "a long time", "vwsrteeo", NULL},
};

/* Whether the event can happen in the state at all: who is not alive does not end. */
static bool can_happen(const struct rig *r, enum event event)
{
    if (event < VENTILATOR_ENDS_0)
        return r->s.members[event].alive;
    if (event <= SINK_KILLED)
        return r->s.members[(event - VENTILATOR_ENDS_0) / 3].alive;
    return event != NOT_STARTED || r->s.state < SUPERVISOR_STOPPING;
}

static void try_row(size_t row, bool has_store, enum supervisor_state state)
{
    struct rig r;
    bring(&r, has_store, state);
    if (!can_happen(&r, table[row].event))
        return;
    const char *expected = has_store && table[row].store ? table[row].store : table[row].bare;
    happen(&r, table[row].event);
    cr_expect_eq(letters[r.s.state], expected[state], "%s, %s%s: now %s, not %c; did: %s",
                 table[row].name, supervisor_state_name(state), has_store ? " with a store" : "",
                 supervisor_state_name(r.s.state), expected[state], r.did);
}

Test(supervisor, each_event_in_each_state_leads_where_the_table_says)
{
    cr_assert_eq(sizeof table / sizeof *table, EVENTS);
    for (size_t row = 0; row < EVENTS; row++)
        for (enum supervisor_state state = 0; state < SUPERVISOR_STATES; state++) {
            try_row(row, false, state);
            try_row(row, true, state);
        }
}

Test(supervisor, starts_one_after_the_other_and_ends_with_the_sinks_status)
{
    struct rig r;
    begin(&r, false);
    cr_expect_str_eq(r.did, "start ventilator");
    ready(&r, MEMBER_VENTILATOR);
    cr_expect_str_eq(r.did, "start ventilator; hosts begin; start worker");
    ready(&r, MEMBER_WORKER);
    ready(&r, MEMBER_SINK);
    clear_notes(&r);
    ends(&r, MEMBER_SINK, 0, 3);
    ends(&r, MEMBER_WORKER, 0, 0);
    cr_expect_eq(r.exits, 0);
    ends(&r, MEMBER_VENTILATOR, 0, 3);
    cr_expect_str_eq(r.did, "");
    cr_expect_str_eq(r.said, "");
    cr_expect_eq(r.exits, 1);
    cr_expect_eq(r.status, 3);
}

Test(supervisor, without_a_worker_here_the_sink_follows_the_ventilator)
{
    struct supervisor_options options = {.restarts = {false, true, false}};
    struct rig r = {.now_ns = BEGAN_NS};
    supervisor_init(&r.s, &options, r.now_ns);
    turn(&r, 0);
    ready(&r, MEMBER_VENTILATOR);
    cr_expect_str_eq(r.did, "start ventilator; hosts begin; start sink");
    cr_expect_eq(r.s.state, SUPERVISOR_STARTING_SINK);
}

Test(supervisor, an_interrupt_during_the_start_ends_all_at_once_with_one_line)
{
    for (enum supervisor_state state = 0; state < SUPERVISOR_RUNNING; state++) {
        struct rig r;
        bring(&r, true, state);
        unsigned starts = r.starts;
        interrupt(&r);
        cr_expect_str_eq(r.said, "interrupted by TERM before anything was run\n");
        cr_expect_not_null(strstr(r.did, "ventilator end now"));
        for (enum member m = 0; m < MEMBERS; m++)
            if (r.s.members[m].alive)
                ends(&r, m, 10, 255);
        cr_expect_eq(r.exits, 1);
        cr_expect_eq(r.status, 255);
        cr_expect_eq(r.starts, starts);
    }
}

Test(supervisor, a_ventilator_that_is_killed_during_the_start_is_followed_by_another)
{
    for (enum supervisor_state state = 0; state < SUPERVISOR_RUNNING; state++) {
        struct rig r;
        bring(&r, true, state);
        ends(&r, MEMBER_VENTILATOR, 9, 255);
        if (state == SUPERVISOR_STARTING_WORKER)
            ready(&r, MEMBER_WORKER); /* just then */
        turn(&r, 100 * NS_PER_MS);
        cr_expect_not_null(strstr(r.did, "start ventilator"), "%s", r.did);
        for (enum member m = 0; m < MEMBERS; m++)
            ready(&r, m);
        cr_expect_eq(r.s.state, SUPERVISOR_RUNNING, "%s", supervisor_state_name(r.s.state));
        cr_expect_eq(r.starts, 4);
    }
}

Test(supervisor, the_second_interrupt_ends_at_once_unless_both_were_sent_together)
{
    struct rig r;
    bring(&r, false, SUPERVISOR_RUNNING);
    interrupt(&r);
    interrupt(&r);
    cr_expect_eq(r.s.state, SUPERVISOR_STOPPING);
    cr_expect_str_eq(r.did, "ventilator stop");
    r.now_ns += NS_PER_S;
    interrupt(&r);
    cr_expect_eq(r.s.state, SUPERVISOR_ENDING);
    cr_expect_str_eq(r.said, "stopping: what runs may finish; a second signal ends it at once\n");
}

/* Its results could be stored by nobody: the ventilator would wait for a sink for a minute. */
Test(supervisor, an_interrupt_while_no_sink_is_there_ends_all_at_once)
{
    struct rig r;
    bring(&r, true, SUPERVISOR_RUNNING);
    ends(&r, MEMBER_SINK, 9, 255);
    clear_notes(&r);
    interrupt(&r);
    cr_expect_eq(r.s.state, SUPERVISOR_ENDING, "%s", supervisor_state_name(r.s.state));
    cr_expect_str_eq(r.said, "interrupted by TERM without a sink: all ends at once\n");
    cr_expect_str_eq(r.did, "ventilator end now; worker end now");
    ends(&r, MEMBER_VENTILATOR, 10, 255);
    ends(&r, MEMBER_WORKER, 10, 255);
    cr_expect_eq(r.exits, 1);
    cr_expect_eq(r.status, 255);
}

Test(supervisor, an_interrupt_when_another_sink_was_started_lets_finish_what_runs)
{
    struct rig r;
    bring(&r, true, SUPERVISOR_RUNNING);
    ends(&r, MEMBER_SINK, 9, 255);
    turn(&r, 100 * NS_PER_MS);
    interrupt(&r);
    cr_expect_eq(r.s.state, SUPERVISOR_STOPPING, "%s", supervisor_state_name(r.s.state));
}

Test(supervisor, a_second_key_counts_however_soon_it_comes)
{
    struct rig r;
    bring(&r, false, SUPERVISOR_RUNNING);
    happen(&r, KEY);
    happen(&r, KEY);
    cr_expect_eq(r.s.state, SUPERVISOR_ENDING);
}

Test(supervisor, a_HUP_after_another_signal_changes_nothing)
{
    struct rig r;
    bring(&r, false, SUPERVISOR_STOPPING);
    happen(&r, HUP);
    cr_expect_eq(r.s.state, SUPERVISOR_STOPPING);
}

Test(supervisor, a_worker_that_ends_by_itself_stops_the_job)
{
    struct rig r;
    bring(&r, false, SUPERVISOR_RUNNING);
    ends(&r, MEMBER_WORKER, 0, 255);
    cr_expect_str_eq(r.did, "ventilator stop");
    cr_expect_str_eq(r.said, ""); /* it has said why */
    ends(&r, MEMBER_SINK, 0, 255);
    ends(&r, MEMBER_VENTILATOR, 0, 255);
    cr_expect_eq(r.status, 255);
    cr_expect_str_eq(r.said, "");
}

Test(supervisor, who_does_not_end_is_killed)
{
    struct rig r;
    bring(&r, false, SUPERVISOR_ENDING);
    turn(&r, 2 * NS_PER_S);
    cr_expect_str_eq(r.did, "ventilator kill; worker kill; sink kill");
    cr_expect_not_null(strstr(r.said, "the sink does not end and is killed"));
    clear_notes(&r);
    turn(&r, 2 * NS_PER_S);
    cr_expect_str_eq(r.did, "ventilator kill; worker kill; sink kill");
    cr_expect_str_eq(r.said, "");
}

Test(supervisor, a_host_that_is_left_keeps_the_farm_until_it_has_ended)
{
    struct rig r;
    bring(&r, false, SUPERVISOR_CLOSING);
    supervisor_set_hosts_left(&r.s, true);
    ends(&r, MEMBER_VENTILATOR, 0, 0);
    ends(&r, MEMBER_WORKER, 0, 0);
    cr_expect_not_null(strstr(r.did, "hosts stop"));
    cr_expect_eq(r.exits, 0);
    turn(&r, 10 * NS_PER_S);
    cr_expect_not_null(strstr(r.did, "hosts end now"));
    supervisor_set_hosts_left(&r.s, false);
    turn(&r, 0);
    cr_expect_eq(r.exits, 1);
}

Test(supervisor, each_restart_waits_twice_as_long_until_one_lives)
{
    struct rig r;
    bring(&r, true, SUPERVISOR_RUNNING);
    static const uint64_t delays_ms[] = {100, 200, 400, 800, 1600, 3200, 5000, 5000};
    ends(&r, MEMBER_WORKER, 9, 255);
    turn(&r, 100 * NS_PER_MS);
    for (size_t i = 1; i < sizeof delays_ms / sizeof *delays_ms; i++) {
        ends(&r, MEMBER_WORKER, 9, 255);
        cr_expect_eq(supervisor_deadline(&r.s), r.now_ns + delays_ms[i] * NS_PER_MS);
        turn(&r, delays_ms[i] * NS_PER_MS);
    }
    r.now_ns += 11 * NS_PER_S;
    ends(&r, MEMBER_WORKER, 9, 255);
    cr_expect_eq(supervisor_deadline(&r.s), r.now_ns + 100 * NS_PER_MS);
}

Test(supervisor, a_hold_waits_for_their_word_and_pauses_then)
{
    struct rig r;
    bring(&r, false, SUPERVISOR_RUNNING);
    supervisor_hold(&r.s, r.now_ns);
    turn(&r, 0);
    cr_expect_str_eq(r.did, "ventilator hold; worker hold; sink hold");
    supervisor_holds(&r.s, MEMBER_VENTILATOR);
    supervisor_holds(&r.s, MEMBER_SINK);
    turn(&r, 0);
    cr_expect_null(strstr(r.did, "pause"));
    supervisor_holds(&r.s, MEMBER_WORKER);
    turn(&r, 0);
    cr_expect_not_null(strstr(r.did, "pause here"));
    clear_notes(&r);
    r.now_ns += 3600 * NS_PER_S;
    supervisor_go(&r.s, r.now_ns);
    turn(&r, 0);
    cr_expect_str_eq(r.did, "ventilator go; worker go; sink go");
}

Test(supervisor, a_member_that_does_not_answer_holds_up_no_pause)
{
    struct rig r;
    bring(&r, false, SUPERVISOR_RUNNING);
    supervisor_hold(&r.s, r.now_ns);
    cr_expect_eq(supervisor_deadline(&r.s), r.now_ns + SUPERVISOR_HOLD_NS);
    turn(&r, SUPERVISOR_HOLD_NS);
    cr_expect_not_null(strstr(r.did, "pause here"));
}

Test(supervisor, nobody_is_started_and_no_time_passes_during_a_pause)
{
    struct rig r;
    bring(&r, true, SUPERVISOR_RUNNING);
    ends(&r, MEMBER_WORKER, 9, 255);
    supervisor_hold(&r.s, r.now_ns);
    turn(&r, SUPERVISOR_HOLD_NS);
    clear_notes(&r);
    turn(&r, 3600 * NS_PER_S);
    cr_expect_str_eq(r.did, "");
    supervisor_go(&r.s, r.now_ns);
    turn(&r, 0);
    cr_expect_null(strstr(r.did, "start"));
    turn(&r, 100 * NS_PER_MS);
    cr_expect_not_null(strstr(r.did, "start worker"));
}

Test(supervisor, an_interrupt_ends_a_pause)
{
    struct rig r;
    bring(&r, false, SUPERVISOR_RUNNING);
    supervisor_hold(&r.s, r.now_ns);
    turn(&r, 0);
    clear_notes(&r);
    interrupt(&r);
    cr_expect_str_eq(r.did, "ventilator go; worker go; sink go; ventilator stop");
}

/* ---- any order of events ---- */

static enum member any_alive(const struct rig *r, uint64_t *random)
{
    enum member member = (enum member)(splitmix_next(random) % MEMBERS);
    for (unsigned i = 0; i < MEMBERS && !r->s.members[member].alive; i++)
        member = (enum member)((member + 1) % MEMBERS);
    return member;
}

static void random_step(struct rig *r, uint64_t *random)
{
    enum member member = any_alive(r, random);
    enum event event = (enum event)(splitmix_next(random) % EVENTS);
    if (event < VENTILATOR_ENDS_0)
        event = (enum event)(VENTILATOR_READY + (int)member);
    else if (event <= SINK_KILLED)
        event = (enum event)(VENTILATOR_ENDS_0 + 3 * (int)member + (int)event % 3);
    else if (event == NOT_STARTED)
        event = LONG_TIME;
    r->now_ns += splitmix_next(random) % NS_PER_S;
    if (can_happen(r, event))
        happen(r, event);
    turn(r, 0);
}

Test(supervisor, whatever_happens_an_interrupt_is_obeyed_once_and_for_all)
{
    for (uint64_t seed = 1; seed <= 20000; seed++) {
        uint64_t random = seed;
        struct rig r;
        begin(&r, seed % 2);
        for (uint64_t i = splitmix_next(&random) % 12; i > 0 && !r.exits; i--)
            random_step(&r, &random);
        if (r.exits)
            continue;
        clear_notes(&r);
        interrupt(&r);
        unsigned starts = r.starts;
        for (uint64_t i = splitmix_next(&random) % 6; i > 0 && !r.exits; i--)
            random_step(&r, &random);
        if (!r.exits) {
            r.now_ns += NS_PER_S;
            interrupt(&r);
        }
        for (unsigned i = 0; i < 10 && !r.exits; i++) {
            turn(&r, 2 * NS_PER_S);
            for (enum member m = 0; m < MEMBERS; m++)
                if (r.s.members[m].alive)
                    ends(&r, m, 9, 255);
        }
        cr_assert_eq(r.starts, starts, "seed %lu", (unsigned long)seed);
        cr_assert_eq(r.exits, 1, "seed %lu: %s", (unsigned long)seed,
                     supervisor_state_name(r.s.state));
    }
}

Test(supervisor, a_worker_that_leaves_before_the_job_is_over_is_followed_by_another_one)
{
    struct rig r;
    bring(&r, false, SUPERVISOR_RUNNING);
    ends(&r, MEMBER_WORKER, 0, 0);
    turn(&r, 2 * NS_PER_S);
    cr_expect_str_eq(r.said, "", "the job may be over");
    turn(&r, NS_PER_S);
    cr_expect_str_eq(r.did, "start worker");
    cr_expect_not_null(strstr(r.said, "the worker has left before the job was over"));
}

Test(supervisor, a_worker_that_leaves_at_the_end_is_not_followed)
{
    struct rig r;
    bring(&r, false, SUPERVISOR_RUNNING);
    ends(&r, MEMBER_WORKER, 0, 0);
    ends(&r, MEMBER_VENTILATOR, 0, 0);
    turn(&r, 3 * NS_PER_S);
    cr_expect_null(strstr(r.did, "start"));
    cr_expect_str_eq(r.said, "");
    bring(&r, false, SUPERVISOR_RUNNING);
    ends(&r, MEMBER_WORKER, 0, 0);
    happen(&r, TERM);
    turn(&r, 3 * NS_PER_S);
    cr_expect_null(strstr(r.did, "start"));
}

Test(supervisor, hosts_go_on_without_a_worker_that_leaves)
{
    struct rig r;
    bring(&r, false, SUPERVISOR_RUNNING);
    supervisor_set_hosts_left(&r.s, true);
    ends(&r, MEMBER_WORKER, 0, 0);
    turn(&r, 3 * NS_PER_S);
    cr_expect_null(strstr(r.did, "start"));
}
