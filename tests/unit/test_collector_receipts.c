/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/story.h"

/* What the sink says to have received, and whether it reads. */
TestSuite(collector_receipts, .timeout = 20);

Test(collector_receipts, what_arrived_is_told_twice_a_heartbeat_though_nothing_is_stored)
{
    struct story s = {.tells_arrivals = true};
    story_join(&s);
    s.holds = true;
    w_results(&s, 20, 1, 1, "1");
    w_results(&s, 20, 2, 1, "2");
    w_results(&s, 21, 1, 1, "3");
    story_expect(&s, "");
    cr_assert_leq(collector_deadline(s.c), s.now_ns + 250 * NS_PER_MS);
    story_pass(&s, 250);
    story_expect(&s, "STORED  got=20:2+0 got=21:1+0");
    w_results(&s, 20, 1, 1, "1"); /* again: nothing new */
    story_pass(&s, 250);
    story_expect(&s, "HEARTBEAT");
    w_results(&s, 20, 3, 1, "4");
    story_expect(&s, "STORED  got=20:3+0");
    story_end(&s);
}

Test(collector_receipts, a_ventilator_that_comes_back_is_told_all_again)
{
    struct story s = {.tells_arrivals = true};
    story_join(&s);
    w_results(&s, 20, 1, 1, "1");
    story_pass(&s, 250);
    story_expect(&s, "STORED 1 got=20:1+0");
    senders_untell(&s.c->intake.senders);
    story_pass(&s, 250);
    story_expect(&s, "HEARTBEAT; STORED  got=20:1+0");
    v_number(&s, KIND_ENDED, 20);
    senders_untell(&s.c->intake.senders);
    story_pass(&s, 250);
    story_expect(&s, "STORED ");
    story_end(&s);
}

Test(collector_receipts, that_no_results_are_read_is_told_when_it_lasts_and_when_it_is_over)
{
    struct story s = {0};
    story_join(&s);
    collector_set_reading(s.c, false, s.now_ns);
    story_expect(&s, "");
    story_pass(&s, 50);
    collector_set_reading(s.c, true, s.now_ns);
    story_pass(&s, 50);
    collector_set_reading(s.c, false, s.now_ns);
    story_expect(&s, "");
    cr_assert_leq(collector_deadline(s.c), s.now_ns + 100 * NS_PER_MS);
    story_pass(&s, 100);
    collector_set_reading(s.c, false, s.now_ns);
    story_expect(&s, "STORED  not reading");
    story_pass(&s, 10);
    collector_set_reading(s.c, true, s.now_ns);
    story_expect(&s, "STORED ");
    story_end(&s);
}
