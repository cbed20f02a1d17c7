/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/senders.h"

#include <criterion/criterion.h>

TestSuite(senders, .timeout = 60);

Test(senders, the_one_that_was_quiet_for_longest_is_forgotten)
{
    struct senders s = {0};
    for (uint64_t session = 1; session <= SENDERS_MAX; session++)
        cr_assert(senders_add_batch(&s, 1, session, 1, 1));
    cr_assert_not(senders_add_batch(&s, 1, 1, 1, 1));
    cr_assert(senders_add_batch(&s, 1, SENDERS_MAX + 1, 1, 1));
    cr_assert_eq(s.count, SENDERS_MAX);
    cr_assert_not(senders_add_batch(&s, 1, 1, 1, 1), "1 was heard after 2");
    cr_assert(senders_add_batch(&s, 1, 2, 1, 1), "2 should have been forgotten");
    senders_free(&s);
}

Test(senders, the_batches_of_one_session_take_bounded_memory)
{
    struct senders s = {0};
    for (uint64_t batch = 1; batch < 100000; batch += 2)
        cr_assert(senders_add_batch(&s, 1, 1, batch, 1));
    cr_assert_leq(s.items[0].seen.count, SENDERS_SEEN_RANGES_MAX);
    senders_free(&s);
}

Test(senders, a_floor_above_the_batch_itself_is_taken_as_the_batch)
{
    struct senders s = {0};
    senders_add_batch(&s, 1, 1, 5, UINT64_MAX);
    senders_add_batch(&s, 1, 1, 7, 1);
    struct gap gap;
    size_t at = 0;
    cr_assert(s.has_gaps);
    cr_assert(senders_take_gap(&s, 1, &at, &gap));
    cr_assert_eq(gap.batch, 6);
    senders_free(&s);
}

Test(senders, those_of_a_lower_incarnation_are_dropped_and_have_no_gaps)
{
    struct senders s = {0};
    senders_add_batch(&s, 1, 5, 3, 1);
    senders_add_batch(&s, 2, 4, 3, 2);
    struct gap gap;
    size_t at = 0;
    senders_drop_before(&s, 2);
    cr_assert_eq(s.count, 1);
    cr_assert(senders_take_gap(&s, 2, &at, &gap));
    cr_assert(gap.session == 4 && gap.batch == 2);
    cr_assert_not(senders_take_gap(&s, 2, &at, &gap));
    senders_free(&s);
}
