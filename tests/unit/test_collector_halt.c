/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/story.h"

/* --halt, as the collector goes through it. */
TestSuite(collector_halt, .timeout = 20);

static void v_status(struct story *s, uint64_t total)
{
    struct buf message = v_begin(s, KIND_STATUS);
    status_put(&message, &(struct status){.total = total, .workers = 1});
    v_say(s, &message);
}

static void begin(struct story *s, const char *rule)
{
    struct why why;
    cr_assert_eq(halt_rule_parse(rule, &s->options.halt, &why), ERR_NONE);
    story_join(s);
}

Test(collector_halt, the_ventilator_is_told_and_what_was_not_run_is_counted)
{
    struct story s = {0};
    begin(&s, "now,fail=1");
    w_results(&s, 20, 1, 1, "1-2 3f");
    story_expect(&s, "HALT when=now seq=3 status=1; STORED 1-3");
    cr_expect_eq(collector_halt(s.c)->seq, 3);
    v_done(&s, 5, 4, 5, DONE_INPUT_CUT);
    story_expect(&s, "FLUSH");
    collector_flushed(s.c, s.now_ns);
    story_expect(&s, "CLOSED 5: 2 ok, 1 failed, 0 lost, 2 not run");
    v_bare(&s, KIND_BYE);
    story_expect(&s, "EXIT 1");
    cr_expect_eq(s.why.text[0], '\0');
    story_end(&s);
}

Test(collector_halt, tries_that_are_tried_again_and_late_results_do_not_count)
{
    struct story s = {0};
    begin(&s, "soon,done=3");
    w_results(&s, 20, 1, 1, "1 2h 3h 1");
    story_expect(&s, "STORED 1");
    story_pass(&s, 10);
    w_results(&s, 20, 2, 1, "2-3");
    story_expect(&s, "HALT when=soon seq=3 status=0; STORED 2-3");
    story_end(&s);
}

Test(collector_halt, a_lost_task_has_failed)
{
    struct story s = {0};
    begin(&s, "now,fail=1");
    v_verdict(&s, RESULT_LOST, 4, 4);
    story_expect(&s, "HALT when=now seq=4 status=255; STORED 4");
    story_end(&s);
}

Test(collector_halt, a_percentage_needs_the_number_of_all_tasks)
{
    struct story s = {0};
    begin(&s, "now,fail=10%");
    w_results(&s, 20, 1, 1, "1 2f 3f");
    story_expect(&s, "STORED 1-3");
    v_status(&s, 0);
    story_expect(&s, "");
    v_status(&s, 20);
    story_expect(&s, "HALT when=now seq=3 status=10");
    story_end(&s);
}

Test(collector_halt, it_is_told_again_to_a_ventilator_that_comes_back)
{
    struct story s = {0};
    begin(&s, "soon,success=1");
    collector_control_down(s.c, s.now_ns);
    story_expect(&s, "");
    w_results(&s, 20, 1, 1, "1");
    for (uint64_t session = 10; session <= 11; session++) {
        story_pass(&s, 300);
        story_expect(&s, "OPEN");
        collector_control_up(s.c, s.now_ns);
        story_expect(&s, "JOIN stored=1 epoch=7");
        v_welcome(&s, session, 7);
        story_expect(&s, "STORED 1; HALT when=soon seq=1 status=0");
        collector_control_down(s.c, s.now_ns);
        story_expect(&s, "");
    }
    story_end(&s);
}

Test(collector_halt, what_the_sink_before_has_decided_stands)
{
    struct story s = {0};
    begin(&s, "now,fail=1");
    struct buf message = v_begin(&s, KIND_HALT);
    halt_put(&message, &(struct halt){HALT_NOW, 8, 9});
    v_say(&s, &message);
    w_results(&s, 20, 1, 1, "1f");
    story_expect(&s, "STORED 1");
    v_done(&s, 8, 2, 8, DONE_INPUT_CUT);
    story_turn(&s);
    collector_flushed(s.c, s.now_ns);
    story_turn(&s);
    v_bare(&s, KIND_BYE);
    story_expect(&s, "EXIT 9");
    cr_expect_eq(collector_halt(s.c)->seq, 8);
    story_end(&s);
}

Test(collector_halt, what_a_store_has_from_before_is_not_counted)
{
    struct story s = {0};
    struct seqset stored = {0};
    seqset_add(&stored, 1, 3);
    struct collector_past past = {
        .stored = &stored, .failed = 3, .closed = true, .total = 9, .opening = 2};
    struct why why;
    cr_assert_eq(halt_rule_parse("now,fail=2", &s.options.halt, &why), ERR_NONE);
    story_begin(&s);
    collector_destroy(&s.c);
    s.options.past = &past;
    s.options.is_volatile = false;
    s.c = collector_new(&s.options, s.now_ns);
    story_turn(&s);
    collector_control_up(s.c, s.now_ns);
    v_welcome(&s, 9, 7);
    story_turn(&s);
    story_pass(&s, 10);
    w_results(&s, 20, 1, 1, "4f");
    story_expect(&s, "STORED 4");
    story_pass(&s, 10);
    w_results(&s, 20, 2, 1, "5f");
    story_expect(&s, "HALT when=now seq=5 status=2; STORED 5");
    seqset_free(&stored);
    story_end(&s);
}

Test(collector_halt, an_interruption_is_stronger)
{
    struct story s = {0};
    begin(&s, "soon,fail=1");
    w_results(&s, 20, 1, 1, "1f");
    story_turn(&s);
    collector_stop(s.c, s.now_ns);
    v_done(&s, 2, 2, 2, DONE_INPUT_CUT);
    story_turn(&s);
    collector_flushed(s.c, s.now_ns);
    story_turn(&s);
    v_bare(&s, KIND_BYE);
    story_expect(&s, "EXIT 255");
    story_end(&s);
}
