/* SPDX-License-Identifier: MPL-2.0 */
#include <criterion/criterion.h>

#include "common/base/clock.h"
#include "worker/core/receipts.h"

TestSuite(receipts, .timeout = 10);

enum { USUAL = 3000, START = 100000 };

Test(receipts, only_more_than_was_known_is_a_movement)
{
    struct receipts r;
    receipts_init(&r, START);
    cr_assert(receipts_received(&r, &(struct received){.batch = 2, .offset = 10}));
    cr_assert_not(receipts_received(&r, &(struct received){.batch = 1, .offset = 10}));
    cr_assert(receipts_received(&r, &(struct received){.batch = 1, .offset = 11}));
    cr_assert_eq(r.batch, 2);
    cr_assert_eq(r.offset, 11);
}

Test(receipts, a_sink_that_says_so_does_not_read)
{
    struct receipts r;
    receipts_init(&r, START);
    receipts_received(&r, &(struct received){.flags = RECEIVED_NOT_READING});
    cr_assert(r.told && !r.reads);
    receipts_received(&r, &(struct received){0});
    cr_assert(r.reads);
}

Test(receipts, a_connection_given_up_has_twice_the_limit_up_to_the_most)
{
    struct receipts r;
    receipts_init(&r, START);
    receipts_give_up(&r, USUAL, 10 * USUAL);
    cr_assert_eq(receipts_limit(&r, USUAL), 2 * USUAL);
    cr_assert_eq(r.stuck_ns, START);
    receipts_give_up(&r, USUAL, 3 * USUAL);
    cr_assert_eq(receipts_limit(&r, USUAL), 3 * USUAL);
    cr_assert_eq(r.stuck_ns, START, "since the first");
}

Test(receipts, a_movement_after_it_was_stuck_is_said_once_and_makes_the_way_known_as_slow)
{
    struct receipts r;
    receipts_init(&r, START);
    receipts_give_up(&r, USUAL, 10 * USUAL);
    cr_assert(receipts_moved(&r, START + 2 * USUAL));
    cr_assert_not(receipts_moved(&r, START + 2 * USUAL + 1));
    cr_assert_eq(r.stuck_ns, NEVER);
    cr_assert_gt(receipts_slowness(&r, USUAL), 0);
}

Test(receipts, what_was_sent_and_not_received_is_under_way)
{
    struct receipts r;
    struct results results;
    receipts_init(&r, START);
    results_init(&results, bytes_of("w"), 1000);
    cr_assert_not(receipts_is_under_way(&r, &results));
    r.probe = 3;
    cr_assert(receipts_is_under_way(&r, &results));
    receipts_received(&r, &(struct received){.batch = 3});
    cr_assert_not(receipts_is_under_way(&r, &results));
    results_free(&results);
}
