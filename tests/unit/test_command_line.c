/* SPDX-License-Identifier: MPL-2.0 */
#include "common/input/command_line.h"

#include <criterion/criterion.h>

TestSuite(command_line, .timeout = 60);

static char *const echo[] = {"echo", "a b", "{}"};
static char *const shell[] = {"echo {} | wc"};
static char *const shell_words[] = {"echo", "{}", "|", "wc"};

static void expect_text(const struct command_line *c, const char *text)
{
    struct buf got = {0};
    command_line_put(&got, c);
    cr_assert(bytes_equal(buf_bytes(&got), bytes_of(text)), "%.*s", (int)got.size,
              (char *)got.data);
    buf_free(&got);
}

static bool same(const struct command_line *a, const struct command_line *b)
{
    return hash_equal(command_line_hash(a), command_line_hash(b));
}

Test(command_line, it_is_shown_as_one_would_type_it)
{
    expect_text(&(struct command_line){.words = echo, .count = 3}, "echo 'a b' '{}'");
    expect_text(&(struct command_line){.shell = true, .words = shell, .count = 1},
                "--shell 'echo {} | wc'");
    expect_text(&(struct command_line){.shell = true, .words = shell_words, .count = 4},
                "--shell 'echo {} | wc'");
    expect_text(&(struct command_line){.shell = true}, "--shell");
    expect_text(&(struct command_line){.coprocess = true, .null = true, .words = shell, .count = 1},
                "--coprocess -0 'echo {} | wc'");
    expect_text(&(struct command_line){.plugin = "./a.so", .words = echo, .count = 1},
                "--plugin ./a.so echo");
    expect_text(&(struct command_line){.pipe = true, .replacement = "%", .words = echo, .count = 1},
                "--pipe -I '%' echo");
}

Test(command_line, another_executor_or_word_is_another_one)
{
    struct command_line plain = {.words = echo, .count = 3}, shorter = plain, by_shell = plain,
                        by_pipe = plain, by_coprocess = plain, replaces = plain;
    shorter.count = 2;
    by_shell.shell = by_pipe.pipe = by_coprocess.coprocess = true;
    replaces.replacement = "%";
    struct command_line others[] = {shorter, by_shell, by_pipe, by_coprocess, replaces};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        cr_assert_not(same(&plain, &others[i]), "%zu", i);
}

Test(command_line, what_makes_no_difference_is_none)
{
    struct command_line plain = {.words = echo, .count = 3}, null = plain;
    null.null = true; /* ends lines of the input only */
    cr_assert(same(&plain, &null));
    struct command_line one = {.shell = true, .words = shell, .count = 1};
    struct command_line four = {.shell = true, .words = shell_words, .count = 4};
    cr_assert(same(&one, &four));
    null.coprocess = plain.coprocess = true;
    cr_assert_not(same(&plain, &null));
}

Test(command_line, a_hash_goes_through_text)
{
    char text[COMMAND_LINE_HASH_SIZE];
    struct hash hash = {0x0123456789abcdef, 42}, back = {0};
    struct why why;
    command_line_hash_text(hash, text);
    cr_assert_str_eq(text, "0123456789abcdef000000000000002a");
    cr_assert_eq(command_line_hash_parse(text, &back, &why), ERR_NONE);
    cr_assert(hash_equal(hash, back));
    text[31] = 'g';
    cr_assert_eq(command_line_hash_parse(text, &back, &why), ERR_INVALID);
    cr_assert_eq(command_line_hash_parse("12", &back, &why), ERR_INVALID);
}
