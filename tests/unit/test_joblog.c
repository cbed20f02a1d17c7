/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/output/joblog.h"

#include <criterion/criterion.h>

TestSuite(joblog, .timeout = 60);

static void expect(const struct result *r, const char *line)
{
    struct buf got = {0};
    joblog_put(&got, r);
    cr_assert(bytes_equal(buf_bytes(&got), bytes_of(line)), "%.*s", (int)got.size,
              (char *)got.data);
    buf_free(&got);
}

Test(joblog, the_header_is_that_of_gnu_parallel)
{
    struct buf got = {0};
    joblog_put_header(&got);
    cr_assert(bytes_equal(
        buf_bytes(&got),
        bytes_of("Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n")));
    buf_free(&got);
}

static struct result sample(void)
{
    return (struct result){.seq = 2,
                           .start_us = 1795424558299999,
                           .duration_ns = 3400000,
                           .out = bytes_of("out\n"),
                           .err = bytes_of("err"),
                           .command = bytes_of("exit 3"),
                           .worker = bytes_of("node 1\tx")};
}

Test(joblog, how_it_ended_is_told_as_gnu_parallel_does)
{
    struct result r = sample();
    expect(&r, "2\tnode 1 x\t1795424558.299\t     0.003\t0\t7\t0\t0\texit 3\n");
    r.status = RESULT_EXITED;
    r.code = 3;
    expect(&r, "2\tnode 1 x\t1795424558.299\t     0.003\t0\t7\t3\t0\texit 3\n");
    r.status = RESULT_SIGNALED;
    r.code = 9;
    expect(&r, "2\tnode 1 x\t1795424558.299\t     0.003\t0\t7\t0\t9\texit 3\n");
    r.status = RESULT_TIMED_OUT;
    r.code = 0;
    r.duration_ns = UINT64_C(123456789123456);
    expect(&r, "2\tnode 1 x\t1795424558.299\t123456.789\t0\t7\t-1\t15\texit 3\n");
}

Test(joblog, a_host_has_no_controls_and_a_command_is_as_it_was_run)
{
    struct result r = sample();
    r.worker = bytes_of("a\033[2J\302\233b\rc");
    r.command = bytes_of("echo 'a\tb' '\033'");
    expect(&r, "2\ta?[2J?b?c\t1795424558.299\t     0.003\t0\t7\t0\t0\techo 'a\tb' '\033'\n");
}

Test(joblog, without_a_worker_or_a_command_the_task_is_named)
{
    struct buf record = {0};
    task_put_args(&record, (struct bytes[]){bytes_of("a"), bytes_of("b\nc")}, 2);
    struct result r = {.seq = 1, .status = RESULT_LOST, .task = buf_bytes(&record)};
    struct buf got = {0};
    joblog_put(&got, &r);
    static const char line[] = "1\t:\t0.000\t     0.000\t5\t0\t-1\t0\ta b\0c\n";
    cr_assert(bytes_equal(buf_bytes(&got), (struct bytes){(const uint8_t *)line, sizeof line - 1}));
    buf_free(&got);
    buf_free(&record);
}
