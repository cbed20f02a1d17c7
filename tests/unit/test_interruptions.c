/* SPDX-License-Identifier: MPL-2.0 */
#include <criterion/criterion.h>
#include <signal.h>

#include "common/base/clock.h"
#include "worker/core/interruptions.h"

TestSuite(interruptions, .timeout = 10);

static struct outcome end_by(unsigned code, enum result_status status)
{
    return (struct outcome){.slot = 1,
                            .seq = 7,
                            .status = status,
                            .code = code,
                            .own_end = true,
                            .out = {.bytes = bytes_of("out"), .fd = -1},
                            .err = {.bytes = bytes_of("error"), .fd = -1}};
}

Test(interruptions, signals_that_take_a_machine_back_may_be_ones)
{
    static const unsigned back[] = {SIGTERM, SIGINT, SIGHUP, SIGXCPU, SIGKILL};
    for (size_t i = 0; i < sizeof back / sizeof *back; i++) {
        struct outcome by_signal = end_by(back[i], RESULT_SIGNALED),
                       by_shell = end_by(128 + back[i], RESULT_EXITED);
        cr_assert(interruptions_may_be(&by_signal), "%u", back[i]);
        cr_assert(interruptions_may_be(&by_shell), "%u", back[i]);
    }
}

Test(interruptions, others_and_what_zfarm_has_ended_are_none)
{
    struct outcome broken = end_by(SIGSEGV, RESULT_SIGNALED), failed = end_by(1, RESULT_EXITED),
                   ours = end_by(SIGTERM, RESULT_SIGNALED);
    ours.own_end = false;
    cr_assert_not(interruptions_may_be(&broken));
    cr_assert_not(interruptions_may_be(&failed));
    cr_assert_not(interruptions_may_be(&ours));
}

Test(interruptions, one_is_kept_with_its_bytes_until_it_is_taken)
{
    struct interruptions i;
    interruptions_init(&i, 2);
    char text[] = "out";
    struct outcome o = end_by(SIGTERM, RESULT_SIGNALED);
    o.out.bytes = bytes_of(text);
    cr_assert(interruptions_put(&i, &o, 0));
    text[0] = 'X';
    cr_assert_not(interruptions_put(&i, &o, 0), "the slot holds one");
    cr_assert(interruptions_have(&i, 1, 7));
    cr_assert_null(interruptions_at(&i, 0));
    cr_assert_eq(interruptions_deadline(&i), 250 * NS_PER_MS);
    struct buf bytes;
    struct outcome taken = interruptions_take(&i, 1, &bytes);
    cr_assert(bytes_equal(taken.out.bytes, bytes_of("out")));
    cr_assert(bytes_equal(taken.err.bytes, bytes_of("error")));
    cr_assert_eq(interruptions_deadline(&i), NEVER);
    buf_free(&bytes);
    interruptions_free(&i);
}

Test(interruptions, a_late_turn_puts_it_off_four_times)
{
    struct interruptions i;
    interruptions_init(&i, 2);
    struct outcome o = end_by(SIGTERM, RESULT_SIGNALED);
    interruptions_put(&i, &o, 0);
    interruptions_put_off(&i, 49 * NS_PER_MS, NS_PER_S);
    cr_assert_eq(interruptions_deadline(&i), 250 * NS_PER_MS, "it is not late enough");
    for (uint64_t now_s = 1; now_s <= 9; now_s++)
        interruptions_put_off(&i, 50 * NS_PER_MS, now_s * NS_PER_S);
    cr_assert_eq(interruptions_deadline(&i), 4 * NS_PER_S + 250 * NS_PER_MS);
    interruptions_free(&i);
}
