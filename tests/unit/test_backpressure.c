/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/core/backpressure.h"

#include <criterion/criterion.h>

#include "common/base/clock.h"

TestSuite(backpressure, .timeout = 60);

Test(backpressure, a_reader_that_takes_nothing_for_a_second_is_told_of_until_it_takes_something)
{
    struct backpressure b;
    backpressure_init(&b, 0);
    cr_assert_not(backpressure_set_output(&b, OUTPUT_BLOCKED, 0, NS_PER_S - 1));
    cr_assert_eq(backpressure_flags(&b, false), 0);
    backpressure_set_output(&b, OUTPUT_BLOCKED, 0, NS_PER_S);
    cr_assert_eq(backpressure_flags(&b, false), STORED_UNREAD);
    cr_assert(backpressure_set_output(&b, OUTPUT_BLOCKED, 1, NS_PER_S));
    cr_assert_eq(backpressure_flags(&b, false), 0);
}

Test(backpressure, an_output_that_has_nothing_to_write_is_not_unread)
{
    struct backpressure b;
    backpressure_init(&b, 0);
    backpressure_set_output(&b, OUTPUT_FLOWS, 0, 5 * NS_PER_S);
    backpressure_set_output(&b, OUTPUT_BLOCKED, 0, 5 * NS_PER_S + 1);
    cr_assert_eq(backpressure_flags(&b, false), 0);
}

Test(backpressure, that_no_results_are_read_is_told_when_it_lasts)
{
    struct backpressure b;
    backpressure_init(&b, 0);
    cr_assert_eq(backpressure_deadline(&b), NEVER);
    backpressure_set_reading(&b, false, 7);
    cr_assert_eq(backpressure_flags(&b, false), 0);
    uint64_t due_ns = backpressure_deadline(&b);
    cr_assert_eq(due_ns, 7 + 100 * NS_PER_MS);
    backpressure_set_reading(&b, false, due_ns);
    cr_assert_eq(backpressure_flags(&b, false), STORED_NOT_READING);
    cr_assert_eq(backpressure_deadline(&b), NEVER);
    backpressure_set_reading(&b, true, due_ns + 1);
    cr_assert_eq(backpressure_flags(&b, false), 0);
}

Test(backpressure, no_room_is_told_whether_the_output_or_a_large_result_finds_none)
{
    struct backpressure b;
    backpressure_init(&b, 0);
    cr_assert_eq(backpressure_flags(&b, true), STORED_NO_ROOM);
    backpressure_set_output(&b, OUTPUT_NO_ROOM, 0, 1);
    cr_assert_eq(backpressure_flags(&b, false), STORED_NO_ROOM);
    b.order_full = true;
    cr_assert_eq(backpressure_flags(&b, false), STORED_NO_ROOM | STORED_ORDER_FULL);
}
