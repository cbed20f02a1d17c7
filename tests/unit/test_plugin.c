/* SPDX-License-Identifier: MPL-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "plugin_fixture.h"

/* What the plugin executor does when all is well. */

TestSuite(plugin, .timeout = 60);

Test(plugin, the_results_of_a_batch_come_in_order_each_with_its_own_bytes)
{
    struct fixture *f = prepare(EXAMPLES "/multiply.so");
    f->options.words = (char *[]){"2", NULL};
    launch(f);
    f->count = 4096;
    for (uint32_t i = 0; i < f->count; i++) {
        char text[16];
        snprintf(text, sizeof text, "%u", i);
        task_put_line(&f->records, bytes_of(text));
    }
    give(f, 0, 10, f->count);
    run_until_ended(f, f->count);
    for (uint32_t i = 0; i < f->count; i++) {
        char text[16];
        snprintf(text, sizeof text, "%u\n", 2 * i);
        assert_finished(&f->ends[i], 10 + i, RESULT_OK, 0);
        cr_assert(is_text(&f->ends[i].out, text));
        cr_assert(is_text(&f->ends[i].err, ""));
    }
    finish(f);
}

Test(plugin, the_results_of_a_batch_are_told_together)
{
    struct fixture *f = launched(NULL);
    f->wants = 0;
    run(f, 1, "echo\necho\nreturn 3\necho");
    cr_assert_eq(f->runs, 3, "what will be tried again is told by itself");
    assert_finished(&f->ends[2], 3, RESULT_EXITED, 3);
    cr_assert_eq(f->ends[0].start_us, 0);
    f->last = true;
    run(f, 5, "echo\nreturn 3\necho");
    cr_assert_eq(f->runs, 4);
    assert_finished(&f->ends[1], 6, RESULT_EXITED, 3);
    finish(f);
}

Test(plugin, the_multiply_example_refuses_what_is_no_number)
{
    struct fixture *f = prepare(EXAMPLES "/multiply.so");
    f->options.words = (char *[]){"-3", NULL};
    launch(f);
    run(f, 1,
        "7\nseven\n\n9223372036854775807\n-9223372036854775808\n-12\n0\n12345678901234567890");
    const char *out[] = {"-21\n", "", "", "", "", "36\n", "0\n", ""};
    for (unsigned i = 0; i < 8; i++) {
        assert_finished(&f->ends[i], 1 + i, *out[i] ? RESULT_OK : RESULT_EXITED, *out[i] ? 0 : 1);
        cr_assert(is_text(&f->ends[i].out, out[i]), "%u", i);
        cr_assert_eq(f->ends[i].err.size == 0, *out[i] != 0);
    }
    cr_assert(has_text(&f->ends[1].err, "task 2 is no number: seven"));
    finish(f);
}

Test(plugin, a_task_knows_its_number_its_attempt_its_slot_and_its_size)
{
    struct fixture *f = prepare(PLUGINS "/trouble.so");
    f->options.slots = 2;
    launch(f);
    task_put_args(&f->records, (struct bytes[]){bytes_of("about"), bytes_of("it")}, 2);
    give(f, 1, 77, 1);
    uint64_t before_us = clock_realtime_us();
    run_until_ended(f, 1);
    cr_assert_eq(f->ends[0].slot, 1);
    cr_assert(is_text(&f->ends[0].out, "77 2 2 8"));
    cr_assert_lt(f->ends[0].duration_ns, 10 * NS_PER_S);
    cr_assert_geq(f->ends[0].start_us + 1000, before_us);
    cr_assert_leq(f->ends[0].start_us, clock_realtime_us());
    finish(f);
}

Test(plugin, the_return_value_is_the_exit_status)
{
    struct fixture *f = launched(NULL);
    run(f, 1, "return 1\nreturn 255\nreturn 256\nreturn -1\nreturn 0");
    const unsigned codes[] = {1, 255, 255, 255, 0};
    for (unsigned i = 0; i < 5; i++) {
        assert_finished(&f->ends[i], 1 + i, codes[i] ? RESULT_EXITED : RESULT_OK, codes[i]);
        cr_assert(is_text(&f->ends[i].err, "failed as told\n"));
    }
    finish(f);
}

Test(plugin, what_a_plugin_prints_is_not_the_result)
{
    struct fixture *f = launched(NULL);
    run(f, 1, "print\n");
    assert_finished(&f->ends[0], 1, RESULT_OK, 0);
    cr_assert(is_text(&f->ends[0].out, ""));
    cr_assert(is_text(&f->ends[0].err, ""));
    finish(f);
}

Test(plugin, results_before_a_long_task_do_not_wait_for_it)
{
    struct fixture *f = launched(NULL);
    assign(f, 1, "echo\necho\nsleep 3600\necho");
    run_until_ended(f, 2);
    uint64_t since_ns = 0;
    cr_assert_eq(executor_running(f->executor, 0, &since_ns), 3);
    cr_assert_leq(since_ns, clock_now_ns());
    cr_assert_geq(since_ns + 30 * NS_PER_S, clock_now_ns());
    finish(f);
}

Test(plugin, what_stands_behind_a_long_task_is_returned_and_then_the_slot_goes_on)
{
    struct fixture *f = launched_impatient();
    assign(f, 1, "echo\nsleep 1\necho\necho");
    run_until_ended(f, 3);
    assert_finished(&f->ends[0], 1, RESULT_OK, 0);
    assert_end(&f->ends[1], RETURNED, 3, 2);
    run_until_ended(f, 4);
    assert_finished(&f->ends[2], 2, RESULT_OK, 0);
    assert_works(f);
    finish(f);
}

static void assert_letters(const struct buf *bytes, size_t size)
{
    cr_assert_eq(bytes->size, size);
    for (size_t i = 0; i < size; i++)
        if (bytes->data[i] != 'a' + i % 26)
            cr_assert_fail("byte %zu is wrong", i);
}

Test(plugin, results_that_do_not_fit_into_the_area_together_wait_for_room)
{
    struct fixture *f = launched(NULL);
    run(f, 1, "large 100000\nlarge 100000\nlarge 100000\nlarge 200000\necho");
    for (unsigned i = 0; i < 4; i++) {
        assert_finished(&f->ends[i], 1 + i, RESULT_OK, 0);
        assert_letters(&f->ends[i].out, i < 3 ? 100000 : 200000);
        assert_letters(&f->ends[i].err, 10);
    }
    cr_assert(is_text(&f->ends[4].out, "echo"));
    finish(f);
}

Test(plugin, a_result_larger_than_the_area_is_whole_and_a_very_large_one_comes_in_a_file)
{
    struct fixture *f = launched(NULL);
    run(f, 1, "echo\nlarge 300000\nlarge 3000000\nlarge 4194304\necho");
    const size_t sizes[] = {0, 300000, 3000000, 4194304};
    for (unsigned i = 1; i < 4; i++) {
        assert_finished(&f->ends[i], 1 + i, RESULT_OK, 0);
        assert_letters(&f->ends[i].out, sizes[i]);
        assert_letters(&f->ends[i].err, 10);
        cr_assert_eq(f->ends[i].out_in_file, sizes[i] > OUTPUT_MEMORY_MAX);
    }
    assert_finished(&f->ends[4], 5, RESULT_OK, 0);
    finish(f);
}

Test(plugin, output_beyond_the_limit_fails_the_task)
{
    struct fixture *f = launched(NULL);
    run(f, 1, "endless\nlarge 4194305\necho");
    assert_finished(&f->ends[0], 1, RESULT_OUTPUT_TOO_LARGE, 0);
    cr_assert_leq(f->ends[0].out.size, 4 << 20);
    assert_finished(&f->ends[1], 2, RESULT_OUTPUT_TOO_LARGE, 0);
    assert_finished(&f->ends[2], 3, RESULT_OK, 0);
    finish(f);
}

Test(plugin, output_that_finds_no_place_on_disk_fails_the_task_with_words)
{
    struct fixture *f = prepare(PLUGINS "/trouble.so");
    f->options.tmpdir = "/nonexistent";
    launch(f);
    run(f, 1, "large 3000000\necho");
    assert_finished(&f->ends[0], 1, RESULT_OUTPUT_TOO_LARGE, 0);
    cr_assert(has_text(&f->ends[0].err, "/nonexistent"));
    assert_finished(&f->ends[1], 2, RESULT_OK, 0);
    finish(f);
}

Test(plugin, a_batch_larger_than_the_link_takes_at_once_gets_through)
{
    struct fixture *f = launched(NULL);
    char line[1000] = "echo ";
    memset(line + 5, 'x', sizeof line - 5);
    for (f->count = 0; f->count < 4096; f->count++)
        task_put_line(&f->records, (struct bytes){(const uint8_t *)line, sizeof line});
    give(f, 0, 1, f->count);
    run_until_ended(f, f->count);
    for (unsigned i = 0; i < f->count; i++) {
        assert_finished(&f->ends[i], 1 + i, RESULT_OK, 0);
        cr_assert_eq(f->ends[i].out.size, sizeof line);
        cr_assert_eq(memcmp(f->ends[i].out.data, line, sizeof line), 0);
    }
    finish(f);
}

Test(plugin, the_next_assignment_may_come_from_inside_an_event)
{
    struct fixture *f = launched(NULL);
    f->again = 500;
    assign(f, 1, "echo");
    run_until_ended(f, 501);
    for (unsigned i = 0; i < f->end_count; i++)
        assert_finished(&f->ends[i], 1, RESULT_OK, 0);
    finish(f);
}

Test(plugin, an_idle_plugin_is_destroyed_in_the_end)
{
    char file[] = "/tmp/zfarm-test-XXXXXX", text[64] = "";
    int fd = mkstemp(file);
    struct fixture *f = launched((char *[]){"well", file, NULL});
    assert_works(f);
    finish(f);
    cr_assert_gt(read(fd, text, sizeof text - 1), 0);
    cr_assert_str_eq(text, "destroyed\n");
    close(fd);
    unlink(file);
}
