/* SPDX-License-Identifier: MPL-2.0 */
#include "common/input/colsep.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(colsep, .timeout = 60);

/* The columns of `value` in brackets. */
static void expect(const char *pattern, struct bytes value, const char *wanted)
{
    struct colsep colsep;
    struct why why;
    struct buf got = {0};
    struct bytes column;
    size_t at = 0;
    cr_assert_eq(colsep_open(&colsep, pattern, &why), ERR_NONE, "%s", why.text);
    while (colsep_next(&colsep, value, &at, &column)) {
        buf_put_byte(&got, '<');
        buf_put_bytes(&got, column);
        buf_put_byte(&got, '>');
    }
    cr_assert(bytes_equal(buf_bytes(&got), bytes_of(wanted)), "%s: %.*s", pattern, (int)got.size,
              (char *)got.data);
    buf_free(&got);
    colsep_close(&colsep);
}

/* All of these are what GNU parallel 20221122 makes of them. */
Test(colsep, columns_are_those_of_gnu_parallel)
{
    expect(",", bytes_of("a,b"), "<a><b>");
    expect(",", bytes_of(",g,"), "<><g><>");
    expect(",", bytes_of(","), "<><>");
    expect(",", bytes_of("f"), "<f>");
    expect(",", bytes_of(""), "<>");
    expect(" +", bytes_of("a   b  c "), "<a><b><c><>");
    expect(" +", bytes_of(" a"), "<><a>");
    expect(" +", bytes_of(""), "<>");
    expect("[xy]", bytes_of("axyb"), "<a><><b>");
    expect("x+", bytes_of("axxb"), "<a><b>");
    expect("^a", bytes_of("aab"), "<><ab>");
    expect("\\|", bytes_of("a|b"), "<a><b>");
    expect("\\t", bytes_of("a\tb t"), "<a><b t>");
}

Test(colsep, a_tab_can_be_written_inside_an_expression_and_a_backslash_kept)
{
    expect("[\\t;]", bytes_of("a\tb;c"), "<a><b><c>");
    expect("\\\\t", bytes_of("a\\tb\tc"), "<a><b\tc>");
}

Test(colsep, what_matches_nothing_does_not_separate)
{
    expect("x*", bytes_of("abxxc"), "<ab><c>");
    expect("^", bytes_of("abc"), "<abc>");
    expect("$", bytes_of("abc"), "<abc>");
}

Test(colsep, nul_and_high_bytes_pass)
{
    struct colsep colsep;
    static const uint8_t data[] = {'a', 0, 0xff, ';', ';', 0, 0x80};
    struct bytes value = {data, sizeof data}, column;
    for (int i = 0; i < 2; i++) {
        size_t at = 0;
        cr_assert_eq(colsep_open(&colsep, i ? ";+" : ";", NULL), ERR_NONE);
        cr_assert(colsep_next(&colsep, value, &at, &column));
        cr_assert(bytes_equal(column, (struct bytes){data, 3}));
        cr_assert(colsep_next(&colsep, value, &at, &column));
        cr_assert_eq(column.size, i ? 2 : 0);
        colsep_close(&colsep);
    }
}

Test(colsep, what_is_no_expression_is_refused_with_right_ones)
{
    static const char *const bad[] = {"", "(", "[a", "a{2", "*", "\\"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct colsep colsep;
        struct why why = {""};
        cr_assert_eq(colsep_open(&colsep, bad[i], &why), ERR_INVALID, "%s", bad[i]);
        cr_assert(strstr(why.text, "right ones are"), "%s", why.text);
    }
}
