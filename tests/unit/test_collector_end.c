/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/core/ending.h"
#include "tests/unit/story.h"

#include <stdio.h>

TestSuite(collector_end, .timeout = 60);

/* Everything is in and flushed; CLOSED was sent. */
static void close_job(struct story *s)
{
    w_results(s, 20, 1, 1, "1-2");
    story_expect(s, "STORED 1-2");
    v_done(s, 2, 0, 0, 0);
    story_expect(s, "FLUSH");
    collector_flushed(s->c, s->now_ns);
    story_expect(s, "CLOSED 2: 2 ok, 0 failed, 0 lost, 0 not run");
}

Test(collector_end, tasks_that_were_not_run_are_not_waited_for)
{
    struct story s = {0};
    story_join(&s);
    w_results(&s, 20, 1, 1, "1-2");
    story_expect(&s, "STORED 1-2");
    v_done(&s, 5, 3, 5, DONE_INPUT_CUT);
    story_expect(&s, "FLUSH");
    cr_assert_eq(collector_not_run(s.c)->members, 3);
    collector_flushed(s.c, s.now_ns);
    story_expect(&s, "CLOSED 5: 2 ok, 0 failed, 0 lost, 3 not run");
    v_bare(&s, KIND_BYE);
    story_expect(&s, "EXIT 255");
    cr_assert(collector_counts(s.c)->input_cut);
    cr_assert(strstr(s.why.text, "not read to its end"));
    story_end(&s);
}

Test(collector_end, a_ventilator_that_stopped_early_does_not_know_of_all_that_is_here)
{
    struct story s = {0};
    story_join(&s);
    w_results(&s, 20, 1, 1, "1-2");
    w_results(&s, 20, 2, 1, "5");
    story_expect(&s, "STORED 1-2,5");
    v_done(&s, 1, 0, 0, DONE_INPUT_CUT);
    story_expect(&s, "FLUSH");
    collector_flushed(s.c, s.now_ns);
    story_expect(&s, "CLOSED 5: 3 ok, 0 failed, 0 lost, 2 not run");
    story_end(&s);
}

Test(collector_end, what_comes_after_an_early_done_raises_the_total_as_well)
{
    struct ending e = {0};
    struct seqset accepted = {0};
    seqset_add(&accepted, 1, 3);
    ending_want(&e, &(struct done){.total = 3, .flags = DONE_INPUT_CUT}, &accepted);
    seqset_add(&accepted, 5, 5); /* while the first three were written */
    ending_flush(&e, &accepted, true);
    cr_assert_eq(e.total, 5);
    cr_assert(e.not_run.members == 1 && seqset_has(&e.not_run, 4));
    seqset_free(&accepted);
    ending_free(&e);
}

Test(collector_end, a_result_of_a_task_that_was_called_not_run_counts)
{
    struct story s = {0};
    story_join(&s);
    w_results(&s, 20, 1, 1, "1 3");
    story_turn(&s);
    v_done(&s, 3, 2, 3, 0);
    story_expect(&s, "FLUSH");
    cr_assert_eq(collector_counts(s.c)->not_run, 1);
    w_results(&s, 20, 2, 1, "2"); /* too late now, and nobody has to keep it */
    collector_flushed(s.c, s.now_ns);
    story_pass(&s, 5);
    story_expect(&s, "STORED 2; CLOSED 3: 2 ok, 0 failed, 0 lost, 1 not run");
    story_expect_accepted(&s, "1 3 ");
    story_end(&s);
}

Test(collector_end, the_status_is_the_number_of_failures_101_for_more)
{
    static const struct {
        uint64_t failures;
        const char *exit;
    } cases[] = {
        {0, "EXIT 0"}, {1, "EXIT 1"}, {100, "EXIT 100"}, {101, "EXIT 101"}, {300, "EXIT 101"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct story s = {0};
        story_join(&s);
        w_results(&s, 20, 1, 1, "1");
        if (cases[i].failures)
            v_verdict(&s, RESULT_LOST, 2, 1 + cases[i].failures);
        v_done(&s, 1 + cases[i].failures, 0, 0, 0);
        story_turn(&s);
        collector_flushed(s.c, s.now_ns);
        story_turn(&s);
        v_bare(&s, KIND_BYE);
        story_expect(&s, cases[i].exit);
        story_end(&s);
    }
}

Test(collector_end, done_is_answered_again_while_the_ventilator_repeats_it)
{
    struct story s = {0};
    story_join(&s);
    close_job(&s);
    v_done(&s, 2, 0, 0, 0);
    story_expect(&s, "CLOSED 2: 2 ok, 0 failed, 0 lost, 0 not run");
    story_end(&s);
}

Test(collector_end, a_ventilator_that_comes_back_after_closed_gets_closed_again)
{
    struct story s = {0};
    story_join(&s);
    close_job(&s);
    collector_control_down(s.c, s.now_ns);
    story_turn(&s);
    story_pass(&s, 130);
    story_expect(&s, "OPEN");
    collector_control_up(s.c, s.now_ns);
    story_expect(&s, "JOIN stored=1-2 epoch=7 closed=2");
    v_welcome(&s, 10, 7);
    v_done(&s, 2, 0, 0, 0);
    v_bare(&s, KIND_BYE);
    story_expect(&s, "STORED 1-2; CLOSED 2: 2 ok, 0 failed, 0 lost, 0 not run; EXIT 0");
    story_end(&s);
}

Test(collector_end, without_bye_it_leaves_when_there_is_no_ventilator_for_3_s)
{
    struct story s = {0};
    story_join(&s);
    close_job(&s);
    story_pass(&s, 400);
    v_heartbeat(&s);
    uint64_t heard_ns = s.now_ns;
    collector_control_down(s.c, s.now_ns);
    const char *said;
    do {
        s.now_ns = collector_deadline(s.c);
        said = story_turn(&s);
        if (strcmp(said, "OPEN") == 0)
            collector_control_down(s.c, s.now_ns); /* nobody listens there */
    } while (strcmp(said, "OPEN") == 0);
    cr_assert_str_eq(said, "EXIT 0");
    cr_assert_eq(s.now_ns - heard_ns, 3 * NS_PER_S);
    story_end(&s);
}

Test(collector_end, a_silent_ventilator_can_have_closed_again_until_give_up)
{
    struct story s = {0};
    story_join(&s);
    close_job(&s);
    uint64_t closed_ns = s.now_ns;
    while (s.now_ns < closed_ns + 20 * NS_PER_S) {
        s.now_ns = collector_deadline(s.c);
        cr_assert_neq(strncmp(story_turn(&s), "EXIT", 4), 0);
    }
    collector_control_up(s.c, s.now_ns);
    story_expect(&s, "JOIN stored=1-2 epoch=7 closed=2");
    story_end(&s);
}

Test(collector_end, a_ventilator_that_goes_before_the_end_makes_it_255)
{
    struct story s = {0};
    story_join(&s);
    v_bare(&s, KIND_BYE);
    story_expect(&s, "EXIT 255");
    cr_assert(strstr(s.why.text, "before the job was over"));
    story_end(&s);
}

Test(collector_end, a_stop_asks_the_ventilator_and_goes_on_to_closed)
{
    struct story s = {0};
    story_join(&s);
    w_results(&s, 20, 1, 1, "1");
    story_turn(&s);
    collector_stop(s.c, s.now_ns);
    collector_stop(s.c, s.now_ns);
    story_expect(&s, "LEAVE");
    v_done(&s, 9, 2, 9, 0);
    story_expect(&s, "FLUSH");
    collector_flushed(s.c, s.now_ns);
    v_bare(&s, KIND_BYE);
    story_expect(&s, "CLOSED 9: 1 ok, 0 failed, 0 lost, 8 not run; EXIT 255");
    cr_assert(strstr(s.why.text, "interrupted"));
    story_end(&s);
}

Test(collector_end, a_stop_while_the_ventilator_is_away_is_told_when_it_is_back)
{
    struct story s = {0};
    story_join(&s);
    collector_control_down(s.c, s.now_ns);
    collector_stop(s.c, s.now_ns);
    story_expect(&s, "");
    story_pass(&s, 130);
    story_expect(&s, "OPEN");
    collector_control_up(s.c, s.now_ns);
    v_welcome(&s, 10, 7);
    story_expect(&s, "JOIN stored= epoch=7; STORED ; LEAVE");
    story_end(&s);
}

Test(collector_end, a_stop_before_any_ventilator_was_there_ends_it)
{
    struct story s = {0};
    story_begin(&s);
    story_expect(&s, "OPEN");
    collector_stop(s.c, s.now_ns);
    story_expect(&s, "EXIT 255");
    story_end(&s);
}

/* The ventilator believes task 2 stored; a new JOIN shows it what is there, a few times, and then
 * it ends. */
Test(collector_end,
     a_result_that_only_the_ventilator_knows_of_is_waited_for_with_words_and_not_for_ever)
{
    struct story s = {0};
    story_join(&s);
    w_results(&s, 20, 1, 1, "1 3");
    story_expect(&s, "STORED 1,3");
    for (int i = 0; i < 4; i++) {
        v_done(&s, 3, 0, 0, 0);
        story_expect(&s, "CLOSE");
        struct why why;
        cr_assert(collector_waits_for(s.c, s.now_ns, &why));
        cr_assert(strstr(why.text, "first of task 2"), "%s", why.text);
        s.now_ns = collector_deadline(s.c);
        story_expect(&s, "OPEN");
        collector_control_up(s.c, s.now_ns);
        v_welcome(&s, s.session + 1, 7);
        story_expect(&s, "JOIN stored=1,3 epoch=7; STORED 1,3");
    }
    v_done(&s, 3, 0, 0, 0);
    story_expect(&s, "EXIT 255");
    cr_assert(strstr(s.why.text, "never came here, first of task 2"), "%s", s.why.text);
    story_end(&s);
}

static void come_back(struct story *s)
{
    s->now_ns = collector_deadline(s->c);
    story_expect(s, "OPEN");
    collector_control_up(s->c, s->now_ns);
    v_welcome(s, s->session + 1, 7);
    story_turn(s);
}

Test(collector_end, it_is_waited_for_as_long_as_results_come)
{
    struct story s = {0};
    story_join(&s);
    for (uint64_t batch = 1; batch <= 10; batch++) {
        char word[24];
        snprintf(word, sizeof word, "%" PRIu64, batch);
        w_results(&s, 20, batch, batch, word);
        story_turn(&s);
        v_done(&s, 11, 0, 0, 0);
        story_expect(&s, "CLOSE");
        come_back(&s);
    }
    story_end(&s);
}

Test(collector_end, counts_that_do_not_add_up_make_it_255)
{
    struct story s = {0};
    story_join(&s);
    w_results(&s, 20, 1, 1, "1-2");
    s.c->counts.ok = 3; /* as no job makes it: a fault of the sink's own */
    story_turn(&s);
    v_done(&s, 2, 0, 0, 0);
    story_turn(&s);
    collector_flushed(s.c, s.now_ns);
    story_turn(&s);
    v_bare(&s, KIND_BYE);
    story_expect(&s, "EXIT 255");
    cr_assert(strstr(s.why.text, "of 2 tasks 3 are accounted for"), "%s", s.why.text);
    story_end(&s);
}

Test(collector_end, numbers_above_the_total_are_no_tasks_that_were_not_run)
{
    struct story s = {0};
    story_join(&s);
    v_done(&s, 2, 1, 9, 0);
    story_expect(&s, "FLUSH");
    cr_assert_eq(collector_counts(s.c)->not_run, 2);
    story_end(&s);
}

Test(collector_end, a_new_ventilator_says_anew_what_is_wanted)
{
    struct story s = {0};
    story_begin(&s);
    s.options.is_volatile = false;
    collector_destroy(&s.c);
    s.c = collector_new(&s.options, s.now_ns);
    story_turn(&s);
    collector_control_up(s.c, s.now_ns);
    v_welcome(&s, 9, 7);
    w_results(&s, 20, 1, 1, "1");
    v_done(&s, 2, 0, 0, 0);
    story_turn(&s);
    s.incarnation++;
    come_back(&s);
    w_results(&s, 20, 1, 1, "2");
    story_pass(&s, 10);
    story_expect(&s, "STORED 2");
    v_done(&s, 3, 3, 3, 0);
    story_expect(&s, "FLUSH");
    story_end(&s);
}

Test(collector_end, what_was_lacking_and_comes_after_all_ends_the_job)
{
    struct story s = {0};
    story_join(&s);
    w_results(&s, 20, 1, 1, "1");
    story_turn(&s);
    v_done(&s, 2, 0, 0, 0);
    story_expect(&s, "CLOSE");
    w_results(&s, 20, 2, 2, "2");
    story_expect(&s, "FLUSH");
    collector_flushed(s.c, s.now_ns);
    s.now_ns = collector_deadline(s.c);
    story_expect(&s, "OPEN");
    collector_control_up(s.c, s.now_ns);
    story_expect(&s, "JOIN stored=1-2 epoch=7 closed=2");
    story_end(&s);
}

Test(collector_end, an_output_that_takes_all_slowly_needs_no_ventilator)
{
    struct story s = {0};
    story_join(&s);
    v_done(&s, 0, 0, 0, 0);
    story_expect(&s, "FLUSH");
    collector_control_down(s.c, s.now_ns);
    uint64_t end_ns = s.now_ns + 300 * NS_PER_S;
    while (s.now_ns < end_ns) {
        story_turn(&s);
        cr_assert_gt(collector_deadline(s.c), s.now_ns);
        s.now_ns = collector_deadline(s.c);
        if (strcmp(story_turn(&s), "OPEN") == 0)
            collector_control_down(s.c, s.now_ns);
    }
    collector_flushed(s.c, s.now_ns);
    while (strncmp(story_turn(&s), "EXIT", 4) != 0)
        s.now_ns = collector_deadline(s.c);
    cr_assert_str_eq((const char *)s.said.data, "EXIT 0");
    story_end(&s);
}

Test(collector_end, it_says_what_it_waits_for)
{
    struct story s = {0};
    struct why why;
    story_begin(&s);
    story_turn(&s);
    cr_assert(collector_waits_for(s.c, s.now_ns, &why));
    cr_assert(strstr(why.text, "start one with zfarm-ventilator"));
    collector_control_up(s.c, s.now_ns);
    cr_assert(collector_waits_for(s.c, s.now_ns, &why));
    cr_assert(strstr(why.text, "to answer"));
    v_welcome(&s, 9, 7);
    cr_assert(collector_waits_for(s.c, s.now_ns, &why));
    cr_assert(strstr(why.text, "start one with zfarm-worker"));
    struct status status = {.workers = 1, .out = 4};
    struct buf message = v_begin(&s, KIND_STATUS);
    status_put(&message, &status);
    v_say(&s, &message);
    cr_assert_not(collector_waits_for(s.c, s.now_ns, &why));
    cr_assert_eq(collector_counts(s.c)->status.out, 4);
    collector_control_down(s.c, s.now_ns);
    cr_assert(collector_waits_for(s.c, s.now_ns, &why));
    cr_assert(strstr(why.text, "to come back"));
    story_turn(&s);
    story_end(&s);
}

/* A sink with a store whose job was closed, and no ventilator that would go on with it. */
static struct story alone_with(const struct collector_past *past)
{
    struct story s = {0};
    story_begin(&s);
    collector_destroy(&s.c);
    s.options.past = past;
    s.options.is_volatile = false;
    s.c = collector_new(&s.options, s.now_ns);
    story_turn(&s);
    for (int i = 0; i < 1000 && !uplink_is_over(&s.c->uplink); i++) {
        collector_control_down(s.c, s.now_ns);
        s.now_ns = collector_deadline(s.c);
        story_turn(&s);
    }
    return s;
}

Test(collector_end, a_job_that_was_stopped_is_not_called_complete_when_nobody_goes_on_with_it)
{
    struct seqset stored = {0};
    seqset_add(&stored, 1, 3);
    struct collector_past past = {
        .stored = &stored, .ok = 3, .closed = true, .total = 3, .input_cut = true, .opening = 2};
    struct story s = alone_with(&past);
    cr_assert(strstr((const char *)s.said.data, "EXIT 255"), "%s", (const char *)s.said.data);
    cr_assert(strstr(s.why.text, "was stopped before its end"), "%s", s.why.text);
    story_end(&s);
    past.input_cut = false;
    past.total = 5;
    s = alone_with(&past);
    cr_assert(strstr((const char *)s.said.data, "EXIT 255"), "%s", (const char *)s.said.data);
    cr_assert(strstr(s.why.text, "was stopped before its end"), "%s", s.why.text);
    story_end(&s);
    past.total = 3;
    s = alone_with(&past);
    cr_assert(strstr((const char *)s.said.data, "EXIT 0"), "%s", (const char *)s.said.data);
    story_end(&s);
    seqset_free(&stored);
}
