/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/output/steps.h"

#include <criterion/criterion.h>

TestSuite(steps, .timeout = 60);

Test(steps, a_step_is_stored_when_all_files_have_come_as_far)
{
    struct output_steps s = {0};
    steps_end(&s, (struct files_positions){10, 0, 5});
    cr_assert_eq(s.given, 1);
    steps_reached(&s, (struct files_positions){10, 0, 4});
    cr_assert_eq(s.stored, 0);
    steps_reached(&s, (struct files_positions){9, 0, 5});
    cr_assert_eq(s.stored, 0);
    steps_reached(&s, (struct files_positions){10, 0, 5});
    cr_assert_eq(s.stored, 1);
}

Test(steps, they_are_stored_in_order_and_one_that_put_nothing_follows_the_one_before)
{
    struct output_steps s = {0};
    steps_end(&s, (struct files_positions){10, 0, 0});
    steps_end(&s, (struct files_positions){10, 0, 0});
    steps_end(&s, (struct files_positions){30, 0, 0});
    steps_reached(&s, (struct files_positions){29, 0, 0});
    cr_assert_eq(s.stored, 2);
    steps_reached(&s, (struct files_positions){30, 0, 0});
    cr_assert_eq(s.stored, 3);
    cr_assert_eq(s.count, 0);
}

Test(steps, of_more_than_it_holds_the_newest_takes_in_what_follows)
{
    struct output_steps s = {0};
    for (uint64_t i = 1; i <= 3 * STEPS_MAX; i++)
        steps_end(&s, (struct files_positions){i, 0, 0});
    cr_assert_eq(s.count, STEPS_MAX);
    steps_reached(&s, (struct files_positions){3 * STEPS_MAX - 1, 0, 0});
    cr_assert_eq(s.stored, STEPS_MAX - 1, "of the last, not all is written");
    steps_reached(&s, (struct files_positions){3 * STEPS_MAX, 0, 0});
    cr_assert_eq(s.stored, s.given);
}
