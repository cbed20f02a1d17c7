/* SPDX-License-Identifier: MPL-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/shown.h"

static void expect_shown(const char *text, const char *expected)
{
    struct buf to = {0};
    char copy[64];
    size_t size = strlen(text);
    memcpy(copy, text, size);
    buf_put_text(&to, "<");
    shown_put(&to, bytes_of(text));
    cr_expect_eq(to.size - 1, strlen(expected));
    cr_expect(memcmp(to.data + 1, expected, to.size - 1) == 0, "%.*s", (int)to.size, to.data);
    size = shown_in_place(copy, size);
    cr_expect(size == strlen(expected) && memcmp(copy, expected, size) == 0);
    char *other = shown_copy(bytes_of(text));
    cr_expect_str_eq(other, expected);
    free(other);
    buf_free(&to);
}

Test(shown, text_stays_as_it_is)
{
    expect_shown("", "");
    expect_shown("plain ~ text", "plain ~ text");
    expect_shown("\u00a0 \u00e9 \u011b \u20ac \U0001f600",
                 "\u00a0 \u00e9 \u011b \u20ac \U0001f600");
    expect_shown("caf\xe9 of another character set", "caf\xe9 of another character set");
}

Test(shown, a_tab_and_a_newline_are_blanks)
{
    expect_shown("a\tb\nc", "a b c");
}

Test(shown, controls_of_one_byte_are_question_marks)
{
    for (int c = 1; c < ' '; c++)
        if (c != '\t' && c != '\n')
            expect_shown((char[]){'a', (char)c, 'b', '\0'}, "a?b");
    expect_shown("a\177b", "a?b");
    cr_expect_eq(shown_in_place((char[]){'a', '\0', 'b'}, 3), 3);
}

Test(shown, controls_of_two_bytes_are_question_marks)
{
    for (int c = 0x80; c < 0xa0; c++)
        expect_shown((char[]){'A', (char)0xc2, (char)c, '3', '1', 'm', '\0'}, "A?31m");
}

Test(shown, such_a_byte_that_is_no_part_of_a_sequence_is_a_control)
{
    for (int c = 0x80; c < 0xa0; c++) {
        expect_shown((char[]){'A', (char)c, 'B', '\0'}, "A?B");
        expect_shown((char[]){(char)0xe2, (char)c, 'B', '\0'}, "\xe2?B"); /* it lacks its end */
    }
    expect_shown("\xc3", "\xc3");
}

Test(shown, a_line_of_the_log_has_no_controls_and_one_end)
{
    int fds[2], before = dup(STDERR_FILENO);
    char line[256];
    cr_assert(pipe(fds) == 0);
    dup2(fds[1], STDERR_FILENO);
    log_init("zfarm-test");
    log_line("\"%s\" is\nin: %s", "A\302\23331m", "\033[2J");
    dup2(before, STDERR_FILENO);
    ssize_t size = read(fds[0], line, sizeof line - 1);
    line[size > 0 ? size : 0] = '\0';
    cr_expect_str_eq(line, "zfarm-test: \"A?31m\" is in: ?[2J\n");
}
