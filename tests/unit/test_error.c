/* SPDX-License-Identifier: MPL-2.0 */
#include "common/base/error.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(error, .timeout = 60);

Test(error, every_code_has_a_name_and_a_sentence_of_its_own)
{
    for (int i = 0; i < ERR_COUNT; i++) {
        cr_assert_not_null(error_name((enum error)i));
        cr_assert_gt(strlen(error_sentence((enum error)i)), 5);
        for (int j = 0; j < i; j++)
            cr_assert_str_neq(error_sentence((enum error)i), error_sentence((enum error)j));
    }
    cr_assert_str_eq(error_name(ERR_COUNT), "ERR_UNKNOWN");
}

Test(error, fail_fills_in_the_reason_and_passes_the_code_on)
{
    struct why why;
    cr_assert_eq(fail(&why, ERR_IO, "cannot open %s", "x"), ERR_IO);
    cr_assert_str_eq(why.text, "cannot open x");
    cr_assert_eq(fail(NULL, ERR_LIMIT, "nobody listens"), ERR_LIMIT);
}
