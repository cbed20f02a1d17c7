/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/core/senders.h"

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

/* Batches come from `first` on up to `last`, but for `lost`. */
static void come(struct senders *s, uint64_t first, uint64_t last, uint64_t lost)
{
    for (uint64_t batch = first; batch <= last; batch++)
        if (batch != lost)
            senders_add_batch(s, 1, 1, batch, 1);
}

/* The gap that is told now, or 0. */
static uint64_t told(struct senders *s)
{
    struct gap gap = {0};
    size_t at = 0;
    while (s->has_gaps && senders_take_gap(s, 1, &at, &gap))
        ;
    return gap.batch;
}

Test(senders, a_batch_that_is_lost_again_when_it_is_sent_again_is_asked_for_again)
{
    struct senders s = {0};
    come(&s, 1, 20, 17);
    cr_assert_eq(told(&s), 17);
    come(&s, 21, 30, 0);
    cr_assert_eq(told(&s), 0, "it was told");
    come(&s, 17, 30, 17);
    cr_assert_eq(told(&s), 17);
    come(&s, 17, 30, 17);
    cr_assert_eq(told(&s), 17);
    come(&s, 17, 30, 0);
    cr_assert_eq(told(&s), 0);
    senders_free(&s);
}

Test(senders, one_sending_again_is_answered_with_one_gap_at_most)
{
    struct senders s = {0};
    come(&s, 1, 20, 17);
    cr_assert_eq(told(&s), 17);
    unsigned times = 0;
    for (uint64_t batch = 18; batch <= 20; batch++) {
        come(&s, batch, batch, 0);
        times += told(&s) != 0;
    }
    cr_assert_eq(times, 1);
    senders_free(&s);
}

Test(senders, who_never_sends_what_is_missing_is_not_asked_for_ever)
{
    struct senders s = {0};
    unsigned times = 0;
    come(&s, 1, 20, 17);
    for (int round = 0; round < 100; round++) {
        times += told(&s) == 17;
        come(&s, 17, 20, 17);
    }
    cr_assert_eq(times, 1 + SENDERS_ROUNDS_MAX);
    senders_free(&s);
}
