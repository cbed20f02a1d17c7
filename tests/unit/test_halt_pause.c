/* SPDX-License-Identifier: MPL-2.0 */
#include <criterion/criterion.h>

#include "worker/core/halt_pause.h"

TestSuite(halt_pause, .timeout = 10);

static struct halt_pause at_first(enum halt_why why)
{
    return (struct halt_pause){.rule = {.when = HALT_SOON, .why = why, .count = 1}};
}

static const struct result failed = {.seq = 5, .status = RESULT_EXITED, .code = 1, .final = true};
static const struct result good = {.seq = 6, .status = RESULT_OK, .final = true};

Test(halt_pause, the_result_that_counts_pauses_it)
{
    struct halt_pause h = at_first(HALT_FAIL);
    halt_pause_result(&h, &good);
    cr_assert_not(halt_pause_is_on(&h));
    halt_pause_result(&h, &failed);
    cr_assert(halt_pause_is_on(&h));
    cr_assert_eq(halt_pause_deadline(&h), NEVER);
}

Test(halt_pause, a_failed_try_that_is_not_the_last_does_not)
{
    struct halt_pause h = at_first(HALT_FAIL);
    struct result r = failed;
    r.final = false;
    halt_pause_result(&h, &r);
    cr_assert_not(halt_pause_is_on(&h));
}

Test(halt_pause, with_a_larger_count_the_ventilator_alone_knows)
{
    struct halt_pause h = at_first(HALT_FAIL);
    h.rule.count = 2;
    cr_assert_not(halt_pause_at_one(&h));
    halt_pause_result(&h, &failed);
    cr_assert_not(halt_pause_is_on(&h));
}

Test(halt_pause, it_ends_a_heartbeat_after_its_result_was_released)
{
    struct halt_pause h = at_first(HALT_SUCCESS);
    halt_pause_result(&h, &good);
    halt_pause_turn(&h, true, 500, 1000);
    cr_assert_eq(halt_pause_deadline(&h), NEVER);
    halt_pause_turn(&h, false, 500, 1000);
    cr_assert_eq(halt_pause_deadline(&h), 1500);
    halt_pause_turn(&h, false, 500, 1499);
    cr_assert(halt_pause_is_on(&h));
    halt_pause_turn(&h, false, 500, 1500);
    cr_assert_not(halt_pause_is_on(&h));
}
