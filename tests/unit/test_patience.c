/* SPDX-License-Identifier: MPL-2.0 */
#include <criterion/criterion.h>

#include "common/base/patience.h"

TestSuite(patience, .timeout = 10);

enum { LIMIT = 3000 };

Test(patience, without_lateness_it_is_the_limit)
{
    struct patience p = {0};
    cr_assert_eq(patience_limit(&p, LIMIT), LIMIT);
    cr_assert_eq(patience_attempt(&p, LIMIT), LIMIT);
}

Test(patience, four_times_the_longest_lateness_is_added_and_it_fades)
{
    struct patience p = {0};
    patience_late(&p, 800, 0);
    patience_late(&p, 100, 0);
    cr_assert_eq(patience_limit(&p, LIMIT), LIMIT + 4 * 800);
    for (int i = 0; i < 60; i++)
        patience_fade(&p);
    cr_assert_lt(patience_limit(&p, LIMIT), LIMIT + 50);
}

Test(patience, what_the_judge_itself_was_late_is_not_its_peers)
{
    struct patience p = {0};
    patience_late(&p, 60000, 60100);
    cr_assert_eq(patience_limit(&p, LIMIT), LIMIT);
    patience_late(&p, 500, 400);
    cr_assert_eq(patience_limit(&p, LIMIT), LIMIT + 400);
}

Test(patience, an_attempt_in_vain_doubles_the_next_one_until_one_is_answered)
{
    struct patience p = {0};
    for (uint64_t expected = LIMIT; expected < 10 * LIMIT; expected *= 2) {
        cr_assert_eq(patience_attempt(&p, LIMIT), expected);
        patience_in_vain(&p, LIMIT);
    }
    cr_assert_eq(patience_attempt(&p, LIMIT), 10 * LIMIT);
    cr_assert_eq(patience_limit(&p, LIMIT), LIMIT);
    patience_answered(&p);
    cr_assert_eq(patience_attempt(&p, LIMIT), LIMIT);
}

Test(patience, nothing_is_waited_for_longer_than_ten_limits)
{
    struct patience p = {0};
    patience_late(&p, UINT64_MAX / 8, 0);
    cr_assert_eq(patience_limit(&p, LIMIT), 10 * LIMIT);
    cr_assert_eq(patience_attempt(&p, LIMIT), 10 * LIMIT);
}

Test(patience, a_way_may_stand_still_for_twice_its_longest_pause_of_late)
{
    uint64_t limit_ns = 0;
    patience_moved(&limit_ns, 100);
    cr_expect_eq(limit_ns, 200);
    patience_moved(&limit_ns, 400);
    cr_expect_eq(limit_ns, 800);
    patience_moved(&limit_ns, 1);
    cr_expect_eq(limit_ns, 700, "it falls by an eighth");
}
