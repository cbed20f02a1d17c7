/* SPDX-License-Identifier: MPL-2.0 */
#include "common/input/blocks.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/xalloc.h"
#include "common/input/source.h"

/* Each test runs in a process and a temporary directory of its own, with a pipe as standard input. */
static char directory[] = "/tmp/zfarm-test-XXXXXX";
static int to_stdin; /* the writing end */

static void feed_anew(void)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    dup2(ends[0], STDIN_FILENO);
    close(ends[0]);
    to_stdin = ends[1];
}

static void enter(void)
{
    cr_assert(mkdtemp(directory) && chdir(directory) == 0);
}

static void leave(void)
{
    char *remove = xasprintf("rm -rf %s", directory);
    int status = system(remove);
    free(remove);
    cr_assert_eq(status, 0);
}

TestSuite(blocks, .timeout = 60, .init = enter, .fini = leave);

static void feed(struct bytes bytes)
{
    cr_assert_eq(write(to_stdin, bytes.data, bytes.size), (ssize_t)bytes.size);
}

static void feed_end(void)
{
    close(to_stdin);
}

static struct blocks *open_stdin(struct blocks_options options)
{
    static struct input standard_input = {.path = "-"};
    struct inputs inputs = {&standard_input, 1};
    struct blocks *blocks = NULL;
    struct why why;
    options.block_max = options.block_max ? options.block_max : 100;
    cr_assert_eq(blocks_open(&blocks, &inputs, &options, &why), ERR_NONE, "%s", why.text);
    return blocks;
}

/* Appends what can be had now, "block|", or "(size)|" for one that is too long. */
static enum reader_state take(struct blocks *blocks, struct buf *shown)
{
    struct bytes block;
    struct why why;
    enum reader_state state;
    while ((state = blocks_peek(blocks, &block, &why)) == READER_VALUE) {
        cr_assert_gt(block.size, 0);
        if (block.data)
            buf_put_bytes(shown, block);
        else
            buf_printf(shown, "(%zu)", block.size);
        buf_put_byte(shown, '|');
        blocks_skip(blocks);
    }
    return state;
}

static void expect_shown(struct buf *shown, const char *expected)
{
    cr_expect(bytes_equal(buf_bytes(shown), bytes_of(expected)), "%s, not %.*s", expected,
              (int)shown->size, (char *)shown->data);
}

/* The cuts depend on the input alone: whole, and byte by byte. */
static void cuts(struct blocks_options options, const char *input, const char *expected)
{
    struct bytes bytes = bytes_of(input);
    for (size_t step = 1; step <= bytes.size + 1; step += bytes.size ? bytes.size : 1) {
        feed_anew();
        struct buf shown = {0};
        struct blocks *blocks = open_stdin(options);
        for (size_t at = 0; at < bytes.size; at += step) {
            size_t left = bytes.size - at;
            feed((struct bytes){bytes.data + at, step < left ? step : left});
            cr_assert_eq(take(blocks, &shown), READER_WAIT);
        }
        feed_end();
        cr_assert_eq(take(blocks, &shown), READER_END);
        cr_assert_eq(take(blocks, &shown), READER_END);
        expect_shown(&shown, expected);
        blocks_close(&blocks);
        buf_free(&shown);
    }
}

Test(blocks, a_block_ends_after_the_last_line_that_fits)
{
    static const char *const expected[] = {
        "a\n|bc\n|def\n|g|", "a\n|bc\n|def\n|g|", "a\n|bc\n|def\n|g|", "a\n|bc\n|def\n|g|",
        "a\nbc\n|def\ng|",   "a\nbc\n|def\ng|",   "a\nbc\n|def\ng|",   "a\nbc\n|def\ng|",
        "a\nbc\ndef\n|g|",   "a\nbc\ndef\ng|",    "a\nbc\ndef\ng|",
    };
    for (size_t block = 1; block <= sizeof expected / sizeof *expected; block++)
        cuts((struct blocks_options){.block = block}, "a\nbc\ndef\ng", expected[block - 1]);
}

Test(blocks, empty_input_has_none_and_empty_lines_are_kept)
{
    cuts((struct blocks_options){.block = 4}, "", "");
    cuts((struct blocks_options){.block = 2}, "\n\n\n\n\n", "\n\n|\n\n|\n|");
    cuts((struct blocks_options){.block = 3}, "ab\nab\n", "ab\n|ab\n|");
}

Test(blocks, recstart_alone_cuts_before_it)
{
    struct blocks_options options = {.recstart = ">>", .block = 6};
    cuts(options, ">>a>>b>>c", ">>a>>b|>>c|");
    cuts(options, "x>>abcdefgh>>i", "x|>>abcdefgh|>>i|");
    options.block = 1;
    cuts(options, ">>>>a>", ">|>|>>a>|");
    cuts((struct blocks_options){.recstart = "a long one", .block = 1}, "abc", "abc|");
}

Test(blocks, with_both_the_border_is_between_them)
{
    struct blocks_options options = {.recend = "\\n", .recstart = "\\t>", .block = 7};
    cuts(options, "\t>a\nb\n\t>c\n\t>d", "\t>a\nb\n|\t>c\n\t>d|");
    options.block = 1;
    cuts(options, "a\n\t>\n\t>", "a\n|\t>\n|\t>|");
}

Test(blocks, recend_may_be_long_hold_nul_and_not_split_itself)
{
    struct blocks_options options = {.recend = "aab", .block = 5};
    cuts(options, "aaabaaaab", "aaab|aaaab|");
    cuts(options, "xxaabxaab", "xxaab|xaab|");
    cuts(options, "aaaaaaaa", "aaaaaaaa|");
    feed_anew();
    struct buf shown = {0};
    struct blocks *blocks = open_stdin((struct blocks_options){.recend = "\\0", .block = 2});
    feed((struct bytes){(const uint8_t *)"a\0b\0", 4});
    feed_end();
    cr_expect_eq(take(blocks, &shown), READER_END);
    cr_expect(bytes_equal(buf_bytes(&shown), (struct bytes){(const uint8_t *)"a\0|b\0|", 6}));
    blocks_close(&blocks);
    buf_free(&shown);
}

Test(blocks, without_any_border_a_block_is_full)
{
    cuts((struct blocks_options){.recend = "", .block = 3}, "abcdefgh", "abc|def|gh|");
}

Test(blocks, a_long_record_has_a_block_of_its_own_up_to_the_most_and_is_read_over_beyond)
{
    struct blocks_options options = {.block = 3, .block_max = 6};
    cuts(options, "a\nbcdef\ng\n", "a\n|bcdef\n|g\n|");
    cuts(options, "a\nbcdefg\nh\n", "a\n|(7)|h\n|");
    cuts(options, "0123456789012345678\nh\n", "(20)|h\n|");
    cuts(options, "0123456789012345678", "(19)|");
    options.recend = "--";
    cuts(options, "0123456789-0123456789--h", "(23)|h|");
}

Test(blocks, behind_a_record_that_was_read_over_the_next_one_may_be_all_that_is_there)
{
    struct blocks_options options = {.recstart = ">", .block = 1, .block_max = 1};
    cuts(options, "a>bc>>d", "a|(3)|>|(2)|");
    cuts(options, ">abc>defg>h", "(4)|(5)|(2)|");
}

Test(blocks, files_are_read_one_after_the_other)
{
    const char *texts[] = {"a\nb", "", "c\nd\n"};
    struct input list[] = {{.path = "0"}, {.path = "1"}, {.path = "2"}};
    for (size_t i = 0; i < 3; i++) {
        FILE *file = fopen(list[i].path, "w");
        cr_assert(file && fputs(texts[i], file) >= 0 && fclose(file) == 0);
    }
    struct inputs inputs = {list, 3};
    struct blocks_options options = {.block = 5, .block_max = 10};
    struct blocks *blocks = NULL;
    struct why why;
    struct buf shown = {0};
    cr_assert_eq(blocks_open(&blocks, &inputs, &options, &why), ERR_NONE, "%s", why.text);
    cr_expect_eq(take(blocks, &shown), READER_END);
    expect_shown(&shown, "a\nbc\n|d\n|");
    blocks_close(&blocks);
    buf_free(&shown);
}

static void refuses(struct input *list, size_t count, size_t block, enum error error,
                    const char *words)
{
    struct inputs inputs = {list, count};
    struct blocks_options options = {.block = block, .block_max = 10};
    struct blocks *blocks = NULL;
    struct why why;
    cr_expect_eq(blocks_open(&blocks, &inputs, &options, &why), error);
    cr_expect(strstr(why.text, words), "%s", why.text);
    cr_expect_null(blocks);
}

Test(blocks, what_cannot_be_cut_is_refused_with_words)
{
    struct input standard[] = {{.path = "-"}, {.path = "-"}};
    refuses(standard, 2, 0, ERR_INVALID, "named twice");
    refuses(standard, 1, 11, ERR_INVALID, "--block 11");
    standard[1].path = "missing";
    refuses(standard, 2, 0, ERR_NOT_FOUND, "missing");
    standard[1].linked = true;
    refuses(standard, 2, 0, ERR_INVALID, "::::+");
    standard[1] = (struct input){.count = 0};
    refuses(standard, 2, 0, ERR_INVALID, ":::");
}

static enum source_state take_tasks(struct source *source, size_t bytes_max, size_t expected)
{
    struct buf records = {0};
    struct why why;
    size_t tasks;
    enum source_state state = source_take(source, &records, 10, bytes_max, &tasks, &why);
    cr_expect_eq(tasks, expected, "%zu tasks", tasks);
    buf_free(&records);
    return state;
}

Test(blocks, a_source_makes_a_task_of_each_and_takes_as_many_as_fit)
{
    feed_anew();
    feed(bytes_of("a\nbb\nc\n12345678\nd\ne\n"));
    feed_end();
    struct inputs none = {0};
    struct source_options options = {
        .inputs = &none, .values = 1, .pipe = true, .block = 3, .task_max = 5};
    struct source *source = NULL;
    struct why why;
    cr_assert_eq(source_open(&source, &options, &why), ERR_NONE, "%s", why.text);
    cr_expect_eq(source_total(source), 0);
    cr_expect_eq(take_tasks(source, 1 << 16, 3), SOURCE_TOOK);
    cr_expect_eq(take_tasks(source, 1 << 16, 0), SOURCE_TOO_LARGE);
    cr_expect_eq(source_too_large_size(source), 9);
    cr_expect_eq(take_tasks(source, 1, 1), SOURCE_TOOK);
    cr_expect_eq(take_tasks(source, 1, 1), SOURCE_TOOK);
    cr_expect_eq(take_tasks(source, 1, 0), SOURCE_END);
    source_close(&source);
}
