/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "tests/unit/slots_rig.h"

static struct rig r;

static void begin(void)
{
    rig_begin(&r);
}

static void end(void)
{
    rig_end(&r);
}

TestSuite(slots_work, .init = begin, .fini = end, .timeout = 60);

Test(slots_work, a_lone_result_goes_out_at_once_and_a_busy_worker_collects_for_twenty_milliseconds)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 9, 0);
    rig_forget(&r);
    x_ok(&r, 0, 1);
    rig_expect(&r, "START 0:3 FINISHED 1 RESULTS 1/1 1");
    r.now_ns += NS_PER_MS;
    x_ok(&r, 1, 2);
    x_ok(&r, 0, 3);
    rig_expect(&r, "START 0:4 START 1:5");
    cr_assert_eq(slots_deadline(r.s), r.now_ns + 19 * NS_PER_MS);
    rig_pass(&r, 19 * NS_PER_MS);
    rig_expect(&r, "FINISHED 2-3 RESULTS 2/1 2-3");
}

/* An idle worker reports when its results are on their way. */
static void report_passes(void)
{
    rig_turn(&r);
    rig_pass(&r, 200 * NS_PER_US);
}

Test(slots_work, when_nothing_runs_any_more_results_do_not_wait)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 2, 0);
    rig_forget(&r);
    x_ok(&r, 0, 1);
    rig_expect(&r, "FINISHED 1 RESULTS 1/1 1");
    x_ok(&r, 1, 2);
    rig_expect(&r, "RESULTS 2/1 2");
    cr_assert_eq(slots_deadline(r.s), r.now_ns + 200 * NS_PER_US);
    report_passes();
    rig_expect(&r, "FINISHED 2");
}

Test(slots_work, a_failed_try_is_final_only_with_the_last_flag)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 1, 0);
    v_tasks(&r, 2, 1, TASK_LAST);
    rig_forget(&r);
    x_fails(&r, 0, 1);
    x_fails(&r, 1, 2);
    rig_expect(&r, "FINISHED 2 failed=1 FAILED 1#1 RESULTS 1/1 1h 2");
    cr_assert_eq(slots_counts(r.s).finished, 1);
}

Test(slots_work, history_is_sent_once_and_final_results_until_they_are_released)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 2, 0);
    rig_forget(&r);
    x_fails(&r, 0, 1);
    rig_expect(&r, "FAILED 1#1 RESULTS 1/1 1h");
    x_ok(&r, 1, 2);
    report_passes();
    rig_expect(&r, "RESULTS 2/2 2 FINISHED 2");
    v_sink(&r, 2, "tcp://other:5558");
    rig_expect(&r, "results- results+tcp://other:5558");
    rig_results_up(&r);
    rig_expect(&r, "RESULTS 2/2 2"); /* it keeps its number */
    v_sink(&r, 3, "tcp://other:5558");
    slots_results_up(r.s, r.now_ns); /* of the connection that is to be closed now */
    rig_expect(&r, "results- results+tcp://other:5558");
    rig_results_up(&r);
    rig_expect(&r, "RESULTS 2/2 2");
    v_released(&r, 2, 2);
    v_sink(&r, 4, "tcp://other:5558");
    rig_turn(&r);
    rig_forget(&r);
    rig_results_up(&r);
    rig_expect(&r, "");
}

Test(slots_work, the_same_sink_over_a_new_control_connection_is_not_sent_anything_again)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 1, 0);
    rig_turn(&r);
    x_ok(&r, 0, 1);
    rig_forget(&r);
    v_sink(&r, 1, "tcp://sink:5558");
    rig_expect(&r, "");
}

Test(slots_work, a_new_session_numbers_what_is_kept_from_one)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 2, 0);
    rig_turn(&r);
    x_ok(&r, 0, 1);
    rig_turn(&r);
    x_ok(&r, 1, 2);
    rig_turn(&r);
    v_released(&r, 1, 1);
    slots_control_down(r.s, r.now_ns);
    rig_forget(&r);
    rig_pass(&r, 200 * NS_PER_MS);
    slots_control_up(r.s, r.now_ns);
    v_welcome(&r, (struct worker_welcome){0});
    rig_expect(&r, "control+ JOIN kept=2 of=1 lane+tcp://farm:5557 RESULTS 1/1 2");
    struct frame_head head;
    struct bytes body;
    frame_take(block_bytes(r.results), &head, &body);
    cr_assert_eq(head.session, 2);
}

Test(slots_work, a_gap_is_answered_with_the_batches_from_it_on_under_their_numbers)
{
    rig_start(&r);
    rig_join(&r);
    for (uint64_t seq = 1; seq <= 3; seq++) {
        v_tasks(&r, seq, 1, 0);
        rig_turn(&r);
        x_ok(&r, 0, seq);
        rig_turn(&r);
    }
    rig_forget(&r);
    v_says_number(&r, KIND_RESEND, 2);
    rig_expect(&r, "RESULTS 2/1 2 RESULTS 3/1 3");
}

Test(slots_work, a_lost_results_connection_is_made_again_and_everything_kept_sent_again)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 2, 0);
    rig_turn(&r);
    x_ok(&r, 0, 1);
    rig_forget(&r);
    r.credits = 0;
    slots_results_down(r.s, r.now_ns);
    rig_expect(&r, "results-");
    x_ok(&r, 1, 2);
    report_passes();
    rig_expect(&r, "FINISHED 2");
    cr_assert_eq(r.credits, 0);
    rig_pass(&r, 150 * NS_PER_MS);
    rig_expect(&r, "results+tcp://sink:5558");
    struct why why;
    cr_assert(slots_waits_for(r.s, r.now_ns, &why));
    cr_assert(strstr(why.text, "tcp://sink:5558"), "%s", why.text);
    rig_results_up(&r);
    rig_expect(&r, "RESULTS 1/1 1 RESULTS 2/1 2");
    cr_assert_eq(r.credits, 1);
}

Test(slots_work, while_the_sink_cannot_be_reached_for_long_unstarted_tasks_go_back)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 5, 0);
    slots_results_down(r.s, r.now_ns);
    rig_forget(&r);
    for (int i = 0; i < 35; i++) {
        rig_pass(&r, 100 * NS_PER_MS);
        v_heartbeat(&r, r.session);
    }
    cr_assert(memmem(r.said.data, r.said.size, "RETURNED tasks=3-5 reason=leaving", 22));
}

Test(slots_work, a_released_task_that_runs_or_waits_here_is_dropped)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 4, 0);
    rig_forget(&r);
    v_released(&r, 2, 3);
    rig_expect(&r, "CANCEL 1:2");
    slots_cancelled(r.s, 1, 2, r.now_ns);
    x_ok(&r, 0, 1);
    rig_expect(&r, "START 0:4 FINISHED 1 RESULTS 1/1 1");
}

Test(slots_work, a_cancelled_attempt_has_no_result_even_if_it_had_just_finished)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 2, TASK_LAST);
    rig_forget(&r);
    v_cancel(&r, 1, 1);
    v_cancel(&r, 2, 1);
    rig_expect(&r, "CANCEL 0:1 CANCEL 1:2");
    x_ok(&r, 0, 1);
    slots_cancelled(r.s, 1, 2, r.now_ns);
    rig_expect(&r, "");
    cr_assert_eq(slots_counts(r.s).finished, 0);
}

Test(slots_work, a_heartbeat_says_how_many_slots_are_taken_by_what_is_cancelled)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 2, 0);
    rig_turn(&r);
    v_cancel(&r, 2, 1);
    rig_pass(&r, 500 * NS_PER_MS);
    cr_assert_eq(r.unusable, 1);
    slots_cancelled(r.s, 1, 2, r.now_ns);
    rig_pass(&r, 500 * NS_PER_MS);
    cr_assert_eq(r.unusable, 0);
}

Test(slots_work, a_cancel_that_overtakes_its_task_is_remembered)
{
    rig_start(&r);
    rig_join(&r);
    v_cancel(&r, 2, 1);
    v_tasks(&r, 1, 3, 0);
    rig_expect(&r, "START 0:1 START 1:3");
}

Test(slots_work, a_cancel_never_touches_what_is_kept)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 1, 0);
    rig_turn(&r);
    x_ok(&r, 0, 1);
    rig_forget(&r);
    v_cancel(&r, 1, 1);
    v_says_number(&r, KIND_RESEND, 1);
    rig_expect(&r, "RESULTS 1/1 1");
}

Test(slots_work, a_recall_takes_from_the_tail_and_is_always_answered)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 6, 0);
    rig_forget(&r);
    v_says_number(&r, KIND_RECALL, 3);
    rig_expect(&r, "RETURNED tasks=4-6 reason=recall");
    v_says_number(&r, KIND_RECALL, 3);
    rig_expect(&r, "RETURNED tasks=3 reason=recall");
    v_says_number(&r, KIND_RECALL, 3);
    rig_expect(&r, "RETURNED tasks=none reason=recall");
}

Test(slots_work, after_the_lanes_end_what_was_not_begun_goes_back_and_nothing_starts)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 4, 0);
    rig_forget(&r);
    v_end(&r);
    rig_expect(&r, "RETURNED tasks=3-4 reason=leaving");
    r.credits = 0;
    x_ok(&r, 0, 1);
    slots_lane_down(r.s, r.now_ns);
    rig_expect(&r, "FINISHED 1 RESULTS 1/1 1");
    cr_assert_eq(r.credits, 0);
}

Test(slots_work, tasks_that_an_executor_gives_back_are_run_again_in_order)
{
    r.options.batch_max = 100;
    r.options.slots = 1;
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 1, 0);
    rig_turn(&r);
    r.now_ns += 1000;
    slots_finished(
        r.s, &(struct outcome){.seq = 1, .duration_ns = 1000, .out = {.fd = -1}, .err = {.fd = -1}},
        r.now_ns);
    v_tasks(&r, 2, 5, 0);
    rig_expect(&r, "START 0:1 START 0:2-3 FINISHED 1 RESULTS 1/1 1");
    slots_returned(r.s, 0, 2, 2, r.now_ns);
    rig_expect(&r, "START 0:2-3");
    slots_drain(r.s, r.now_ns);
    slots_returned(r.s, 0, 2, 2, r.now_ns); /* now they go home */
    rig_expect(&r, "RETURNED tasks=4-6 reason=leaving RETURNED tasks=2-3 reason=leaving LEAVE");
}

Test(slots_work, an_assignment_grows_to_a_millisecond_of_work_and_leaves_a_share_to_others)
{
    r.options.batch_max = 1000;
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 4000, 0);
    uint64_t next = 1, largest = 0;
    struct slots_action action;
    slots_turn(r.s, r.now_ns);
    for (int i = 0; i < 200 && slots_next_action(r.s, &action); i++) {
        if (action.kind != SLOTS_START) {
            block_release(&action.block);
            i--;
            continue;
        }
        cr_assert_eq(action.assignment.first, next);
        next += action.assignment.count;
        largest = action.assignment.count > largest ? action.assignment.count : largest;
        r.now_ns += 4 * NS_PER_US * action.assignment.count;
        for (uint64_t seq = action.assignment.first; seq < next; seq++)
            slots_finished(r.s,
                           &(struct outcome){.slot = action.assignment.slot,
                                             .seq = seq,
                                             .duration_ns = 4 * NS_PER_US,
                                             .out = {.fd = -1},
                                             .err = {.fd = -1}},
                           r.now_ns);
        slots_turn(r.s, r.now_ns);
    }
    cr_assert_eq(slots_counts(r.s).finished, 4000);
    cr_assert_geq(largest, 100);
    cr_assert_leq(largest, 250);
}

Test(slots_work, above_the_limit_of_kept_results_nothing_new_is_asked_for_but_a_reserve)
{
    r.options.kept_max_bytes = 300; /* one batch costs 256 and its size */
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 2, 0);
    rig_turn(&r);
    x_ok(&r, 0, 1);
    rig_turn(&r);
    x_ok(&r, 1, 2);
    rig_pass(&r, 20 * NS_PER_MS);
    cr_assert_leq(r.credit.tasks, 4);
    cr_assert_eq(r.credit.reserve, 4);
    uint64_t before = r.credit.tasks;
    rig_pass(&r, 20 * NS_PER_MS);
    cr_assert_eq(r.credit.tasks, before);
    struct why why;
    cr_assert(slots_waits_for(r.s, r.now_ns, &why));
    cr_assert(strstr(why.text, "has not stored 2 results"), "%s", why.text);
    v_released(&r, 1, 2);
    rig_pass(&r, 20 * NS_PER_MS);
    cr_assert_eq(r.credit.tasks, 4);
}

Test(slots_work, a_busy_farm_of_short_commands_sends_few_messages)
{
    rig_start(&r);
    rig_join(&r);
    uint64_t next = 1, done = 0;
    r.messages = 0;
    for (int ms = 0; ms < 1000; ms++) { /* two slots, a millisecond a task */
        r.now_ns += NS_PER_MS;
        for (unsigned slot = 0; slot < 2 && done + 1 < next; slot++) {
            struct outcome outcome = {.slot = slot,
                                      .seq = ++done,
                                      .duration_ns = NS_PER_MS,
                                      .out = {.fd = -1},
                                      .err = {.fd = -1}};
            slots_finished(r.s, &outcome, r.now_ns);
        }
        rig_turn(&r);
        if (r.credit.tasks > next - 1) {
            v_tasks(&r, next, r.credit.tasks - (next - 1), 0);
            next = r.credit.tasks + 1;
        }
        rig_turn(&r);
        if (ms % 100 == 0)
            v_heartbeat(&r, r.session);
    }
    cr_assert_geq(done, 1990);
    cr_assert_leq(r.messages, 450, "%zu messages", r.messages);
}

/* The first of the last results that were sent. */
static struct result first_result(struct results_head *results, struct result_run *run)
{
    struct frame_head head;
    struct bytes body, runs;
    struct result result;
    cr_assert_eq(frame_take(block_bytes(r.results), &head, &body), ERR_NONE);
    cr_assert_eq(results_take(body, results, &runs), ERR_NONE);
    cr_assert_eq(result_run_take(&runs, run), ERR_NONE);
    cr_assert_eq(result_take(&run->records, &result), ERR_NONE);
    return result;
}

Test(slots_work, what_the_sink_wants_back_is_in_the_results)
{
    rig_start(&r);
    rig_turn(&r);
    slots_control_up(r.s, r.now_ns);
    v_welcome(&r, (struct worker_welcome){.wants = WANT_TASK | WANT_HASH | WANT_TIMES});
    v_hello(&r);
    rig_results_up(&r);
    v_tasks(&r, 1, 1, 0);
    rig_turn(&r);
    x_ok(&r, 0, 1);
    rig_turn(&r);
    struct results_head results;
    struct result_run run;
    struct result result = first_result(&results, &run);
    cr_assert(result.final && result.has_hash && result.task.size == 5 && result.start_us == 1);
    cr_assert(bytes_equal(result.out, bytes_of("out")));
    cr_assert(bytes_equal(results.worker, bytes_of("w")));
    cr_assert(run.attempt.incarnation == 1000 && run.attempt.number == 1 && run.tries == 1);
    cr_assert_eq(slots_wants(r.s), WANT_TASK | WANT_HASH | WANT_TIMES);
}

Test(slots_work, a_task_that_is_kept_here_is_not_run_again)
{
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 1, 0);
    rig_turn(&r);
    x_ok(&r, 0, 1);
    rig_forget(&r);
    v_tasks(&r, 1, 2, 0);
    rig_expect(&r, "START 0:2");
    rig_pass(&r, 20 * NS_PER_MS);
    rig_expect(&r, "FINISHED 1");
}

/* One slot that has been given the tasks 1 to `count`, the last try of each. */
static void start_run(uint64_t count)
{
    r.options.batch_max = 4096;
    r.options.slots = 1;
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 1, 0);
    rig_turn(&r);
    r.now_ns += 1000;
    x_run_ends(&r, 0, 1, 1, 0, 0);
    rig_pass(&r, 20 * NS_PER_MS);
    rig_forget(&r);
    v_tasks(&r, 2, count, TASK_LAST);
}

Test(slots_work, results_that_are_told_together_are_sent_together)
{
    start_run(4);
    rig_expect(&r, "START 0:2-3");
    x_run_ends(&r, 0, 2, 2, 1, 0);
    rig_expect(&r, "START 0:4-5 FINISHED 2-3 failed=1 RESULTS 2/1 2-3");
    x_run_ends(&r, 0, 4, 2, 0, 0);
    report_passes();
    rig_expect(&r, "RESULTS 3/1 4-5 FINISHED 4-5");
    cr_assert_eq(slots_counts(r.s).finished, 5);
}

Test(slots_work, of_results_that_are_told_together_only_what_is_wanted_is_sent)
{
    start_run(4);
    rig_turn(&r);
    v_released(&r, 2, 2);
    rig_expect(&r, "START 0:2-3 CANCEL 0:2");
    x_run_ends(&r, 0, 2, 2, 0, 0);
    rig_pass(&r, 20 * NS_PER_MS);
    rig_expect(&r, "START 0:4-5 FINISHED 3 RESULTS 2/1 3");
}

Test(slots_work, results_without_what_the_sink_wants_get_it_one_by_one)
{
    rig_start(&r);
    rig_turn(&r);
    slots_control_up(r.s, r.now_ns);
    v_welcome(&r, (struct worker_welcome){.wants = WANT_HASH});
    v_hello(&r);
    rig_results_up(&r);
    v_tasks(&r, 1, 1, 0);
    rig_turn(&r);
    x_run_ends(&r, 0, 1, 1, 0, WANT_TIMES);
    rig_turn(&r);
    struct results_head results;
    struct result_run run;
    struct result result = first_result(&results, &run);
    cr_assert(result.has_hash && bytes_equal(result.out, bytes_of("out")));
}
