/* SPDX-License-Identifier: MPL-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/command_farm.h"

TestSuite(command_pipe, .timeout = 120);

enum { LARGE = 1 << 20, LARGER = 3 << 20 /* goes through a file of --tmpdir */ };

#define OPEN_PIPE(farm, shell, words)                                                              \
    struct farm farm = farm_of(shell, words);                                                      \
    farm.options.pipe = true;                                                                      \
    cr_assert_eq(farm_open(&farm), ERR_NONE, "%s", farm.why.text)

/* A block of many pipes full, which no two pieces of are alike. */
static struct bytes block_of(size_t size)
{
    static uint32_t block[LARGER / sizeof(uint32_t)];
    for (uint32_t i = 0; i < size / sizeof *block; i++)
        block[i] = i;
    return (struct bytes){(const uint8_t *)block, size};
}

static struct bytes large_block(void)
{
    return block_of(LARGE);
}

static struct ending *run_large(struct farm *farm)
{
    unsigned endings = farm->endings;
    farm_start_task(farm, 0, large_block());
    farm_await(farm, endings + 1);
    return &farm->slots[0];
}

Test(command_pipe, the_task_is_the_standard_input_and_no_argument)
{
    OPEN_PIPE(farm, false, WORDS("sh", "-c", "echo \"$@\"; cat", "{}", "{}", "{1} {.} {#} {%}"));
    struct ending *ending = farm_run(&farm, "a\nb");
    expect_status(ending, RESULT_OK, 0);
    expect_out(ending, "{} {1} {.} 10 1\na\nb");
    farm_close(&farm);
}

Test(command_pipe, nothing_is_added_to_a_command_without_replacements)
{
    OPEN_PIPE(farm, true, WORDS("wc -c"));
    struct ending *ending = farm_run(&farm, "abc");
    expect_out(ending, "3\n");
    cr_expect(bytes_equal(buf_bytes(&ending->command), bytes_of("wc -c")));
    expect_out(farm_run(&farm, ""), "0\n");
    farm_close(&farm);
}

Test(command_pipe, a_large_block_with_nul_bytes_comes_back_whole)
{
    OPEN_PIPE(farm, false, WORDS("cat"));
    for (int round = 0; round < 3; round++) {
        struct ending *ending = run_large(&farm);
        expect_status(ending, RESULT_OK, 0);
        cr_expect(bytes_equal(buf_bytes(&ending->out), large_block()));
    }
    farm_close(&farm);
}

Test(command_pipe, one_that_reads_nothing_or_little_is_no_failure)
{
    OPEN_PIPE(farm, true, WORDS("case {%} in 1) head -c 4 | od -An -tu4;; *) :;; esac"));
    struct ending *ending = run_large(&farm);
    expect_status(ending, RESULT_OK, 0);
    expect_out(ending, "          0\n");
    farm_start_task(&farm, 1, large_block());
    farm_await(&farm, 2);
    expect_status(&farm.slots[1], RESULT_OK, 0);
    farm_close(&farm);
}

Test(command_pipe, one_that_never_reads_holds_up_nobody)
{
    OPEN_PIPE(farm, true, WORDS("[ {%} = 2 ] && exec sleep 1000; cat"));
    farm_start_task(&farm, 1, large_block());
    expect_out(farm_run(&farm, "x"), "x");
    executor_cancel(farm.executor, 1, 11, clock_now_ns());
    farm_await(&farm, 2);
    cr_expect_eq(farm.slots[1].cancelled, 1);
    farm_close(&farm);
}

Test(command_pipe, one_that_reads_slowly_and_writes_more_than_a_pipe_holds)
{
    OPEN_PIPE(farm, true,
              WORDS("head -c 300000 /dev/zero; sleep 0.1; cat; head -c 300000 /dev/zero"));
    struct ending *ending = run_large(&farm);
    expect_status(ending, RESULT_OK, 0);
    cr_expect_eq(ending->out.size, LARGE + 600000);
    cr_expect(bytes_equal((struct bytes){ending->out.data + 300000, LARGE}, large_block()));
    farm_close(&farm);
}

Test(command_pipe, a_larger_one_goes_through_a_file_in_tmpdir)
{
    struct farm farm =
        farm_of(true, WORDS("stat -Lc %s /dev/stdin; sha256sum; tail -c 4 | od -An -tu4"));
    farm.options.pipe = true;
    cr_assert_eq(farm_open(&farm), ERR_NONE, "%s", farm.why.text);
    farm_start_task(&farm, 0, block_of(LARGER));
    farm_await(&farm, 1);
    expect_status(&farm.slots[0], RESULT_OK, 0);
    cr_assert_eq(strncmp((char *)farm.slots[0].out.data, "3145728\n", 8), 0);
    farm_close(&farm);
}

Test(command_pipe, without_a_place_for_a_larger_one_it_is_given_back_with_words)
{
    struct farm farm = farm_of(true, WORDS("cat"));
    farm.options.pipe = true;
    farm.options.tmpdir = "/nowhere/at/all";
    cr_assert_eq(farm_open(&farm), ERR_NONE, "%s", farm.why.text);
    farm_start_task(&farm, 0, block_of(LARGER));
    farm_await(&farm, 1);
    cr_assert_eq(farm.slots[0].returned, 1);
    cr_assert(farm.broken == 1 && strstr(farm.why.text, "/nowhere/at/all"), "%s", farm.why.text);
    farm_close(&farm);
}
