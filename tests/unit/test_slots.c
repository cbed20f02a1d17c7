/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "tests/unit/slots_rig.h"
#include "worker/core/slots_state.h"

static struct rig r;

static void begin(void)
{
    rig_begin(&r);
}

static void end(void)
{
    rig_end(&r);
}

TestSuite(slots, .init = begin, .fini = end, .timeout = 60);

Test(slots, a_worker_joins_by_control_then_lane_then_claim_and_asks_for_a_task_a_slot)
{
    rig_start(&r);
    rig_expect(&r, "control+");
    slots_control_up(r.s, r.now_ns);
    rig_expect(&r, "JOIN");
    r.show_credit = true;
    v_welcome(&r, (struct worker_welcome){0});
    rig_expect(&r, "lane+tcp://farm:5557 results+tcp://sink:5558");
    v_hello(&r);
    rig_expect(&r, "CLAIM");
    rig_results_up(&r);
    rig_expect(&r, "CREDIT 2/2");
    cr_assert_eq(r.credit.size_bytes, 8 << 20);
}

Test(slots, nothing_is_asked_for_before_the_lane_is_claimed_and_the_sink_is_reached)
{
    rig_start(&r);
    r.show_credit = true;
    rig_turn(&r);
    slots_control_up(r.s, r.now_ns);
    v_welcome(&r, (struct worker_welcome){0});
    rig_results_up(&r);
    rig_forget(&r);
    rig_pass(&r, NS_PER_S);
    rig_expect(&r, "");
    cr_assert_eq(r.credits, 0);
    v_hello(&r);
    rig_expect(&r, "CLAIM CREDIT 2/2");
}

Test(slots, a_lane_given_as_an_endpoint_or_overridden_is_used_as_it_is)
{
    rig_start(&r);
    rig_turn(&r);
    slots_control_up(r.s, r.now_ns);
    rig_forget(&r);
    v_welcome(&r, (struct worker_welcome){.lanes = bytes_of("ipc:///run/lanes")});
    rig_expect(&r, "lane+ipc:///run/lanes results+tcp://sink:5558");
    slots_destroy(&r.s);
    r.options.lanes = "tcp://forwarded:9";
    r.options.results = "tcp://forwarded:10";
    rig_start(&r);
    rig_turn(&r);
    slots_control_up(r.s, r.now_ns);
    rig_forget(&r);
    v_welcome(&r, (struct worker_welcome){0});
    rig_expect(&r, "lane+tcp://forwarded:9 results+tcp://forwarded:10");
}

Test(slots, a_heartbeat_while_joining_means_wait_and_silence_means_start_anew)
{
    rig_start(&r);
    rig_turn(&r);
    slots_control_up(r.s, r.now_ns);
    rig_forget(&r);
    for (int i = 0; i < 20; i++) {
        v_heartbeat(&r, 0);
        rig_pass(&r, NS_PER_S);
    }
    rig_expect(&r, "");
    struct why why;
    cr_assert(slots_waits_for(r.s, r.now_ns, &why));
    cr_assert(strstr(why.text, "zfarm-sink --connect tcp://farm:5556"), "%s", why.text);
    rig_pass(&r, 2100 * NS_PER_MS);
    rig_expect(&r, "control- control+");
}

Test(slots, a_failed_connect_is_tried_again_after_waits_that_grow_to_two_seconds)
{
    uint64_t waits[12];
    rig_start(&r);
    for (size_t i = 0; i < 12; i++) {
        rig_turn(&r);
        slots_control_down(r.s, r.now_ns);
        waits[i] = slots_deadline(r.s) - r.now_ns;
        rig_expect(&r, "control+ control-");
        r.now_ns += waits[i];
    }
    cr_assert(waits[0] >= 80 * NS_PER_MS && waits[0] <= 120 * NS_PER_MS);
    cr_assert(waits[3] > waits[0]);
    cr_assert(waits[11] >= 1600 * NS_PER_MS && waits[11] <= 2400 * NS_PER_MS);
}

Test(slots, a_lane_without_hello_for_three_seconds_is_closed_and_joined_anew)
{
    rig_start(&r);
    rig_turn(&r);
    slots_control_up(r.s, r.now_ns);
    v_welcome(&r, (struct worker_welcome){0});
    rig_results_up(&r);
    rig_forget(&r);
    for (int i = 0; i < 29; i++) {
        v_heartbeat(&r, r.session);
        rig_pass(&r, 100 * NS_PER_MS);
    }
    rig_expect(&r, "");
    v_heartbeat(&r, r.session);
    rig_pass(&r, 110 * NS_PER_MS);
    rig_expect(&r, "lane- control-");
}

Test(slots, a_join_carries_what_runs_and_is_kept_and_drops_what_was_not_begun)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 6, 0);
    rig_expect(&r, "START 0:1 START 1:2");
    x_ok(&r, 0, 1);
    rig_expect(&r, "START 0:3 FINISHED 1 RESULTS 1/1 1");
    slots_lane_down(r.s, r.now_ns);
    rig_expect(&r, "lane- control-");
    rig_pass(&r, 200 * NS_PER_MS);
    slots_control_up(r.s, r.now_ns);
    rig_expect(&r, "control+ JOIN run=3,2 kept=1 of=1");
    x_ok(&r, 1, 2); /* nothing is said until JOIN is answered */
    rig_pass(&r, 100 * NS_PER_MS);
    rig_expect(&r, "");
    v_welcome(&r, (struct worker_welcome){0});
    rig_expect(&r, "lane+tcp://farm:5557 FINISHED 2 RESULTS 1/1 1 RESULTS 2/1 2");
}

Test(slots, welcome_kills_what_nobody_needs_and_frees_what_is_stored)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 2, 0);
    rig_turn(&r);
    x_ok(&r, 0, 1);
    rig_turn(&r);
    slots_control_down(r.s, r.now_ns);
    rig_pass(&r, 200 * NS_PER_MS);
    slots_control_up(r.s, r.now_ns);
    rig_forget(&r);
    struct worker_welcome m = {0};
    seqset_add(&m.have, 1, 1);
    seqset_add(&m.kill, 2, 2);
    v_welcome(&r, m);
    rig_expect(&r, "lane+tcp://farm:5557 CANCEL 1:2");
}

Test(slots, what_is_to_be_killed_and_has_ended_since_the_join_is_not_kept)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 2, 0);
    rig_turn(&r);
    slots_control_down(r.s, r.now_ns);
    rig_pass(&r, 200 * NS_PER_MS);
    slots_control_up(r.s, r.now_ns);
    rig_forget(&r);
    x_ok(&r, 0, 1);
    x_ok(&r, 1, 2);
    struct worker_welcome m = {0};
    seqset_add(&m.kill, 2, 2);
    v_welcome(&r, m);
    rig_expect(&r, "lane+tcp://farm:5557 FINISHED 1 RESULTS 1/1 1");
    slots_control_down(r.s, r.now_ns);
    rig_expect(&r, "lane- control-");
    rig_pass(&r, 200 * NS_PER_MS);
    slots_control_up(r.s, r.now_ns);
    rig_expect(&r, "control+ JOIN kept=1 of=2"); /* nobody would ever release 2 */
}

/* Else it would be handed out anew before it is told, and the try would cost none. */
Test(slots, a_join_names_what_has_failed_and_was_not_told_and_tells_it_behind_the_welcome)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 2, 0);
    rig_forget(&r);
    x_fails(&r, 0, 1);
    slots_control_down(r.s, r.now_ns);
    rig_expect(&r, "lane- control-");
    rig_pass(&r, 200 * NS_PER_MS);
    slots_control_up(r.s, r.now_ns);
    rig_expect(&r, "control+ JOIN run=2,1 of=1");
    v_welcome(&r, (struct worker_welcome){0});
    rig_expect(&r, "lane+tcp://farm:5557 FAILED 1#1 RESULTS 1/1 1h");
    slots_control_down(r.s, r.now_ns);
    rig_expect(&r, "lane- control-");
    rig_pass(&r, 200 * NS_PER_MS);
    slots_control_up(r.s, r.now_ns);
    rig_expect(&r, "control+ JOIN run=2 of=2");
}

Test(slots, a_failed_try_that_is_to_be_killed_is_told_no_more)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 2, 0);
    rig_forget(&r);
    x_fails(&r, 0, 1);
    slots_control_down(r.s, r.now_ns);
    rig_pass(&r, 200 * NS_PER_MS);
    slots_control_up(r.s, r.now_ns);
    rig_forget(&r);
    x_fails(&r, 1, 2); /* since the JOIN */
    struct worker_welcome m = {0};
    seqset_add(&m.kill, 1, 1);
    v_welcome(&r, m);
    rig_expect(&r, "lane+tcp://farm:5557 FAILED 2#1 RESULTS 1/1 1h RESULTS 2/2 2h");
}

Test(slots, another_job_kills_what_runs_and_drops_what_is_kept)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 2, 0);
    rig_turn(&r);
    x_ok(&r, 0, 1);
    rig_turn(&r);
    slots_control_down(r.s, r.now_ns);
    rig_pass(&r, 200 * NS_PER_MS);
    slots_control_up(r.s, r.now_ns);
    rig_forget(&r);
    struct buf message = {0};
    wire_begin(&message, KIND_WELCOME, (struct frame_head){KIND_WELCOME, JOB + 1, 5, 9});
    worker_welcome_put(&message, &(struct worker_welcome){.lanes = bytes_of("5557"),
                                                          .results = bytes_of("tcp://sink:5558"),
                                                          .epoch = 1});
    slots_control_message(r.s, buf_bytes(&message), r.now_ns);
    buf_free(&message);
    rig_expect(&r, "CANCEL 1:2 lane+tcp://farm:5557 results- results+tcp://sink:5558");
    x_ok(&r, 1, 2); /* it had just finished: its result is nobody's */
    rig_expect(&r, "");
}

Test(slots, again_counts_only_for_the_current_session)
{
    rig_start(&r);
    rig_join(&r);
    v_again(&r, 99);
    rig_expect(&r, "");
    v_again(&r, r.session);
    rig_expect(&r, "lane- control-");
    rig_pass(&r, 200 * NS_PER_MS);
    slots_control_up(r.s, r.now_ns);
    v_again(&r, r.session); /* while JOIN is unanswered */
    rig_expect(&r, "control+ JOIN of=1");
}

Test(slots, messages_of_another_session_are_dropped)
{
    rig_start(&r);
    rig_join(&r);
    r.session = 99;
    v_tasks(&r, 1, 2, 0);
    v_says_number(&r, KIND_RECALL, 5);
    rig_expect(&r, "");
    cr_assert_eq(slots_counts(r.s).dropped, 2);
}

Test(slots, a_task_that_is_to_run_alone_waits_for_what_is_still_dying_here)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 1, 0);
    rig_forget(&r);
    v_cancel(&r, 1, 1);
    v_tasks(&r, 2, 1, TASK_ALONE);
    v_tasks(&r, 3, 1, 0);
    rig_expect(&r, "CANCEL 0:1");
    slots_cancelled(r.s, 0, 1, r.now_ns);
    rig_expect(&r, "START 0:2");
    x_ok(&r, 0, 2);
    rig_expect(&r, "START 0:3 FINISHED 2 RESULTS 1/1 2");
}

Test(slots, a_silent_ventilator_is_left_after_the_limit)
{
    rig_start(&r);
    rig_join(&r);
    rig_pass(&r, 2900 * NS_PER_MS);
    rig_expect(&r, "");
    rig_pass(&r, 150 * NS_PER_MS);
    rig_expect(&r, "lane- control-");
}

/* The answer to the heartbeat of `ns` ago. */
static void v_answers(uint64_t ns)
{
    struct buf body = {0};
    heartbeat_put(&body, &(struct heartbeat){.clock_ns = r.now_ns - ns});
    v_says(&r, KIND_HEARTBEAT, &body);
}

Test(slots, a_ventilator_that_answers_late_may_be_silent_for_longer)
{
    rig_start(&r);
    rig_join(&r);
    rig_pass(&r, NS_PER_S);
    v_answers(NS_PER_S);
    rig_pass(&r, 6 * NS_PER_S);
    rig_expect(&r, "");
    for (int i = 0; i < 40; i++) {
        v_answers(0);
        rig_pass(&r, NS_PER_S / 2);
    }
    rig_pass(&r, 2400 * NS_PER_MS);
    rig_expect(&r, "");
    rig_pass(&r, 150 * NS_PER_MS);
    rig_expect(&r, "lane- control-");
}

/* HELLO came. The ventilator says something on control, and then nothing more. */
static void expect_left_after(uint64_t ms)
{
    v_says_number(&r, KIND_RESEND, 1);
    rig_results_up(&r);
    rig_forget(&r);
    rig_pass(&r, (ms - 100) * NS_PER_MS);
    rig_expect(&r, "");
    rig_pass(&r, 150 * NS_PER_MS);
    rig_expect(&r, "lane- control-");
}

/* The ventilator comes when the worker has tried for so long, and its sink a moment later: that is not how long its
 * answers take. */
Test(slots, as_long_as_nobody_accepts_a_connection_or_there_is_no_sink_nobody_is_late)
{
    rig_start(&r);
    rig_turn(&r);
    r.now_ns += 2500 * NS_PER_MS;
    slots_control_up(r.s, r.now_ns);
    rig_turn(&r);
    r.now_ns += 450 * NS_PER_MS;
    v_welcome(&r, (struct worker_welcome){0});
    r.now_ns += 2500 * NS_PER_MS;
    v_hello(&r);
    expect_left_after(3000);
}

Test(slots, a_handshake_and_a_hello_that_come_late_are_answers_that_do)
{
    rig_start(&r);
    rig_turn(&r);
    r.now_ns += 2 * NS_PER_S;
    slots_control_accepted(r.s, r.now_ns);
    rig_pass(&r, 500 * NS_PER_MS);
    slots_control_up(r.s, r.now_ns);
    v_welcome(&r, (struct worker_welcome){0});
    rig_turn(&r);
    r.now_ns += 2 * NS_PER_S;
    slots_lane_accepted(r.s, r.now_ns);
    rig_pass(&r, NS_PER_S);
    v_hello(&r);
    expect_left_after(7000);
}

/* Whoever accepts and does not answer is waited for: 3 s, then twice as long each time. */
Test(slots, somebody_who_is_there_and_slow_gets_twice_as_long_each_time)
{
    static const uint64_t waits[] = {3, 6, 12, 24, 30};
    r.options.give_up_ns = 600 * NS_PER_S;
    rig_start(&r);
    rig_turn(&r);
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        rig_forget(&r);
        slots_control_accepted(r.s, r.now_ns);
        rig_turn(&r);
        rig_pass(&r, waits[i] * NS_PER_S - 100 * NS_PER_MS);
        rig_expect(&r, "");
        rig_pass(&r, 100 * NS_PER_MS);
        rig_expect(&r, "control-");
        r.now_ns = slots_deadline(r.s);
        rig_expect(&r, "control+");
    }
}

Test(slots, where_nobody_accepts_another_attempt_is_made_after_the_limit_each_time)
{
    rig_start(&r);
    rig_turn(&r);
    for (int i = 0; i < 5; i++) {
        rig_forget(&r);
        rig_pass(&r, 2900 * NS_PER_MS);
        rig_expect(&r, "");
        rig_pass(&r, 110 * NS_PER_MS);
        rig_expect(&r, "control-");
        r.now_ns = slots_deadline(r.s);
        rig_expect(&r, "control+");
    }
}

Test(slots, nobody_gives_up_in_the_middle_of_an_attempt_that_was_accepted)
{
    r.options.give_up_ns = 4 * NS_PER_S;
    rig_start(&r);
    rig_turn(&r);
    r.now_ns += 2 * NS_PER_S;
    slots_control_accepted(r.s, r.now_ns);
    rig_forget(&r);
    rig_pass(&r, 2500 * NS_PER_MS);
    rig_expect(&r, "");
    slots_control_up(r.s, r.now_ns);
    rig_turn(&r);
    v_welcome(&r, (struct worker_welcome){0});
    rig_expect(&r, "JOIN lane+tcp://farm:5557 results+tcp://sink:5558");
}

Test(slots, a_lane_that_somebody_accepts_may_take_ten_limits)
{
    rig_start(&r);
    rig_turn(&r);
    slots_control_up(r.s, r.now_ns);
    v_welcome(&r, (struct worker_welcome){0});
    rig_results_up(&r);
    slots_lane_accepted(r.s, r.now_ns);
    rig_forget(&r);
    for (int i = 0; i < 299; i++) {
        v_heartbeat(&r, r.session);
        rig_pass(&r, 100 * NS_PER_MS);
    }
    rig_expect(&r, "");
    v_heartbeat(&r, r.session);
    rig_pass(&r, 110 * NS_PER_MS);
    rig_expect(&r, "lane- control-");
}

Test(slots, a_worker_that_was_frozen_does_not_take_the_others_for_dead)
{
    rig_start(&r);
    rig_join(&r);
    rig_pass(&r, NS_PER_S);
    r.now_ns += 60 * NS_PER_S; /* frozen */
    rig_expect(&r, "");
    rig_pass(&r, NS_PER_S);
    v_heartbeat(&r, r.session);
    rig_pass(&r, 2900 * NS_PER_MS);
    rig_expect(&r, "");
    rig_pass(&r, 150 * NS_PER_MS);
    rig_expect(&r, "lane- control-");
}

Test(slots, a_heartbeat_goes_out_twice_a_second_and_names_what_runs_for_long)
{
    rig_start(&r);
    r.show_beats = true;
    rig_join(&r);
    v_tasks(&r, 1, 1, 0);
    rig_turn(&r);
    rig_pass(&r, 500 * NS_PER_MS);
    rig_expect(&r, "START 0:1 BEAT");
    rig_pass(&r, 500 * NS_PER_MS);
    rig_expect(&r, "BEAT 1");
    v_heartbeat(&r, r.session);
    rig_pass(&r, 500 * NS_PER_MS);
    rig_expect(&r, "BEAT 1");
}

Test(slots, a_heartbeat_tells_what_is_stopped_and_whose_output_is_held)
{
    struct why why;
    rig_start(&r);
    r.show_beats = true;
    rig_join(&r);
    v_tasks(&r, 1, 3, 0);
    rig_turn(&r);
    slots_held(r.s, 0, 123, "sleep");
    slots_stopped(r.s, 1, true);
    rig_pass(&r, 1000 * NS_PER_MS);
    rig_expect(&r, "START 0:1 START 1:2 BEAT BEAT 1-2 stopped 2 1 held by sleep:123");
    cr_assert(slots_waits_for(r.s, r.now_ns, &why));
    cr_assert(strstr(why.text, "its output is still held by sleep (pid 123)"), "%s", why.text);
    x_ok(&r, 0, 1);
    slots_stopped(r.s, 1, false);
    rig_turn(&r);
    v_heartbeat(&r, r.session);
    rig_forget(&r);
    rig_pass(&r, 1000 * NS_PER_MS);
    rig_expect(&r, "BEAT 2 BEAT 2-3"); /* the next in that slot is not held */
}

Test(slots, a_refusal_ends_with_its_sentence_unless_there_are_only_too_many_workers)
{
    rig_start(&r);
    rig_turn(&r);
    slots_control_up(r.s, r.now_ns);
    v_refuse(&r, REFUSE_FULL, "full");
    rig_expect(&r, "control+ JOIN control-");
    rig_pass(&r, 200 * NS_PER_MS);
    slots_control_up(r.s, r.now_ns);
    v_refuse(&r, REFUSE_OTHER_JOB, "not you");
    rig_expect(&r, "control+ JOIN EXIT 255");
    cr_assert(strstr(r.why.text, "not you"), "%s", r.why.text);
}

Test(slots, a_job_that_is_over_ends_a_worker_well_and_makes_one_that_stays_wait)
{
    rig_start(&r);
    rig_turn(&r);
    slots_control_up(r.s, r.now_ns);
    v_refuse(&r, REFUSE_OVER, "over");
    rig_expect(&r, "control+ JOIN EXIT 0");
    slots_destroy(&r.s);
    r.options.stay = true;
    rig_start(&r);
    rig_turn(&r);
    slots_control_up(r.s, r.now_ns);
    v_refuse(&r, REFUSE_OVER, "over");
    rig_expect(&r, "control+ JOIN control-");
    rig_pass(&r, 150 * NS_PER_MS);
    rig_expect(&r, "control+");
}

Test(slots, a_refusal_in_another_version_ends_with_words)
{
    const uint8_t refusal[] = {KIND_REFUSE, WIRE_VERSION + 1, 1};
    rig_start(&r);
    rig_turn(&r);
    slots_control_up(r.s, r.now_ns);
    slots_control_message(r.s, (struct bytes){refusal, sizeof refusal}, r.now_ns);
    rig_expect(&r, "control+ JOIN EXIT 255");
    cr_assert(strstr(r.why.text, "another version"), "%s", r.why.text);
}

Test(slots, without_a_ventilator_it_gives_up_with_words_and_one_that_stays_does_not)
{
    rig_start(&r);
    for (int i = 0; i < 600 && slots_deadline(r.s) != NEVER; i++) {
        rig_pass(&r, 100 * NS_PER_MS);
        slots_control_down(r.s, r.now_ns);
    }
    rig_pass(&r, NS_PER_S);
    cr_assert(strstr(r.why.text, "no ventilator has answered at tcp://farm:5556"), "%s",
              r.why.text);
    slots_destroy(&r.s);
    r.options.stay = true;
    rig_start(&r);
    for (int i = 0; i < 700; i++) {
        rig_pass(&r, 100 * NS_PER_MS);
        slots_control_down(r.s, r.now_ns);
    }
    cr_assert_neq(slots_deadline(r.s), NEVER);
    struct why why;
    cr_assert(slots_waits_for(r.s, r.now_ns, &why));
    cr_assert_str_eq(why.text, "no ventilator answers at tcp://farm:5556: start it, or check "
                               "--connect; tried for 70 s");
}

Test(slots, the_key_of_the_sink_goes_with_its_endpoint_and_another_one_is_another_sink)
{
    rig_start(&r);
    rig_turn(&r);
    slots_control_up(r.s, r.now_ns);
    rig_forget(&r);
    struct worker_welcome m = {.sink = {{7}}};
    v_welcome(&r, m);
    rig_expect(&r, "lane+tcp://farm:5557 results+tcp://sink:5558#7");
    v_hello(&r);
    rig_results_up(&r);
    rig_forget(&r);
    struct sink_news news = {.epoch = 1, .results = bytes_of("tcp://sink:5558"), .sink = {{7}}};
    struct buf body = {0};
    sink_news_put(&body, &news);
    v_says(&r, KIND_SINK, &body);
    rig_expect(&r, "");
    news.sink = (struct key){{8}};
    sink_news_put(&body, &news);
    v_says(&r, KIND_SINK, &body);
    rig_expect(&r, "results- results+tcp://sink:5558#8");
}

Test(slots, what_the_ventilator_says_of_a_message_that_makes_no_sense_is_a_line_ten_a_minute)
{
    rig_start(&r);
    rig_join(&r);
    rig_forget(&r);
    for (int i = 0; i < 100; i++) {
        struct buf body = {0};
        protest_put(&body, &(struct protest){0, KIND_RESULTS, 57, bytes_of("why")});
        v_says(&r, KIND_PROTEST, &body);
    }
    rig_expect(&r, "SAY SAY SAY SAY SAY SAY SAY SAY SAY SAY");
    cr_assert_not_null(strstr(r.why.text, "(RESULTS, octet 57: why)"), "%s", r.why.text);
}

Test(slots, who_is_told_for_ever_to_join_again_gives_up_with_words)
{
    rig_start(&r);
    rig_join(&r);
    for (int i = 1; i < AGAINS_MAX; i++) {
        v_again(&r, r.session);
        rig_rejoin(&r);
        rig_forget(&r);
    }
    v_again(&r, r.session);
    rig_pass(&r, 5 * NS_PER_S);
    cr_assert_not_null(strstr(r.why.text, "times in a row to join again"), "%s", r.why.text);
}
