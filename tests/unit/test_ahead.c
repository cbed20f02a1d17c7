/* SPDX-License-Identifier: MPL-2.0 */
#include <criterion/criterion.h>

#include "sink/core/ahead.h"

TestSuite(ahead, .timeout = 10);

static uint64_t behind[FINAL_KINDS];

Test(ahead, what_has_been_read_is_not_behind_the_end)
{
    struct ahead a = {0};
    ahead_add(&a, FINAL_OK, 1);
    ahead_add(&a, FINAL_OK, 2);
    ahead_add(&a, FINAL_FAILED, 3);
    ahead_read(&a, 2, false, behind);
    cr_assert_eq(behind[FINAL_FAILED], 0, "there may be more");
    ahead_read(&a, 3, true, behind);
    cr_assert_eq(behind[FINAL_OK] + behind[FINAL_LOST] + behind[FINAL_FAILED], 0);
    ahead_free(&a);
}

Test(ahead, what_is_behind_the_end_is_counted_by_its_kind_once)
{
    struct ahead a = {0};
    for (uint64_t seq = 8; seq <= 12; seq++)
        ahead_add(&a, FINAL_OK, seq);
    ahead_add(&a, FINAL_LOST, 20);
    ahead_add(&a, FINAL_OK, 14);
    ahead_add(&a, FINAL_FAILED, 21);
    ahead_read(&a, 10, true, behind);
    cr_assert_eq(behind[FINAL_OK], 3);
    cr_assert_eq(behind[FINAL_LOST], 1);
    cr_assert_eq(behind[FINAL_FAILED], 1);
    ahead_read(&a, 10, true, behind);
    cr_assert_eq(behind[FINAL_OK], 0);
    ahead_free(&a);
}
