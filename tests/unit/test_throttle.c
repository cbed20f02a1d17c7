/* SPDX-License-Identifier: MPL-2.0 */
#include "common/base/throttle.h"

#include <criterion/criterion.h>

#include "common/base/clock.h"

TestSuite(throttle, .timeout = 60);

static unsigned taken(struct throttle *t, unsigned tries, uint64_t now_ns)
{
    unsigned count = 0;
    for (unsigned i = 0; i < tries; i++)
        count += throttle_take(t, 5, NS_PER_S, now_ns);
    return count;
}

Test(throttle, a_burst_passes_and_then_one_each_interval)
{
    struct throttle t = {0};
    cr_assert_eq(taken(&t, 100, 0), 5);
    cr_assert_eq(taken(&t, 100, NS_PER_S - 1), 0);
    cr_assert_eq(taken(&t, 100, NS_PER_S), 1);
    cr_assert_eq(taken(&t, 100, 3 * NS_PER_S), 2);
}

Test(throttle, what_counts_for_many_takes_as_much)
{
    struct throttle t = {0};
    cr_assert(throttle_take_many(&t, 4, 5, NS_PER_S, 0));
    cr_assert_not(throttle_take_many(&t, 4, 5, NS_PER_S, 0));
    cr_assert(throttle_take(&t, 5, NS_PER_S, 0));
    cr_assert_not(throttle_take_many(&t, 4, 5, NS_PER_S, 4 * NS_PER_S - 1));
    cr_assert(throttle_take_many(&t, 4, 5, NS_PER_S, 4 * NS_PER_S));
}

Test(throttle, whoever_is_quiet_saves_no_more_than_a_burst)
{
    struct throttle t = {0};
    cr_assert_eq(taken(&t, 3, NS_PER_S), 3);
    cr_assert_eq(taken(&t, 100, 3600 * NS_PER_S), 5);
}

Test(throttle, what_was_left_out_is_told_once)
{
    struct throttle t = {0};
    char words[THROTTLE_WORDS_SIZE];
    cr_assert_str_eq(throttle_words(&t, words), "");
    for (unsigned i = 0; i < 25; i++)
        throttle_line(&t, 10, NS_PER_S);
    cr_assert_str_eq(throttle_words(&t, words), "; 15 more were left out");
    cr_assert_str_eq(throttle_words(&t, words), "");
    cr_assert_not(throttle_line(&t, 10, 2 * NS_PER_S));
    cr_assert(throttle_line(&t, 10, 7 * NS_PER_S), "ten a minute are one in six seconds");
}
