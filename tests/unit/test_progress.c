/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/output/progress.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/base/clock.h"

TestSuite(progress, .timeout = 60);

static const struct progress_numbers numbers = {
    .total = 1000, .done = 12, .failed = 2, .running = 4, .queued = 300, .workers = 2};

static void expect(struct progress_numbers n, double per_second, unsigned columns, const char *line)
{
    enum { SECONDS = 1000 };
    struct buf got = {0};
    struct estimate e = {0};
    estimate_note(&e, 0, 1, 1, NS_PER_S);
    estimate_note(&e, (uint64_t)(per_second * SECONDS), 1, 1, (SECONDS + 1) * NS_PER_S);
    progress_put(&got, &n, &e, (SECONDS + 1) * NS_PER_S, columns);
    cr_assert(bytes_equal(buf_bytes(&got), bytes_of(line)), "%.*s", (int)got.size,
              (char *)got.data);
    buf_free(&got);
}

Test(progress, the_line_says_what_is_known)
{
    expect(numbers, 80.55, 200,
           "12/1000 done, 2 failed, 4 running, 300 queued, 2 workers, 80.5/s, 12 s left");
    struct progress_numbers n = {.done = 5, .running = 1, .workers = 1};
    expect(n, 0, 200, "5 done, 1 running, 0 queued, 1 worker");
    expect(n, 123456, 200, "5 done, 1 running, 0 queued, 1 worker, 123456/s");
}

Test(progress, the_time_left_is_told_in_hours_too)
{
    struct progress_numbers n = {.total = 7205, .done = 5, .workers = 1};
    expect(n, 100, 200, "5/7205 done, 0 running, 0 queued, 1 worker, 100.0/s, 1:12 left");
    expect(n, 1, 200, "5/7205 done, 0 running, 0 queued, 1 worker, 1.0/s, 2:00:00 left");
    n.done = n.total;
    expect(n, 1, 200, "7205/7205 done, 0 running, 0 queued, 1 worker, 1.0/s");
}

Test(progress, the_line_is_cut_to_the_width)
{
    expect(numbers, 80, 10, "12/1000 do");
    expect(numbers, 80, 0, "");
}

static struct buf drawn(int master)
{
    struct buf got = {0};
    ssize_t n = read(master, buf_reserve(&got, 4096), 4096);
    if (n > 0)
        got.size = (size_t)n;
    return got;
}

static void expect_drawn(int master, const char *bytes)
{
    struct buf got = drawn(master);
    cr_assert(bytes_equal(buf_bytes(&got), bytes_of(bytes)), "%.*s", (int)got.size,
              (char *)got.data);
    buf_free(&got);
}

Test(progress, it_is_drawn_five_times_a_second_and_cleared)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
    cr_assert(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    int terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
    cr_assert_eq(ioctl(terminal, TIOCSWINSZ, &(struct winsize){.ws_row = 5, .ws_col = 20}), 0);
    struct progress p;
    progress_init(&p, terminal);
    cr_assert_leq(progress_due_ns(&p), NS_PER_S);
    progress_draw(&p, &numbers, NS_PER_S);
    expect_drawn(master, "\r\033[K12/1000 done, 2 fai");
    progress_draw(&p, &numbers, NS_PER_S + 199 * NS_PER_MS);
    expect_drawn(master, "");
    cr_assert_eq(progress_due_ns(&p), NS_PER_S + 200 * NS_PER_MS);
    progress_draw(&p, &numbers, NS_PER_S + 200 * NS_PER_MS);
    expect_drawn(master, "\r\033[K12/1000 done, 2 fai");
    progress_clear(&p);
    expect_drawn(master, "\r\033[K");
    progress_clear(&p);
    expect_drawn(master, "");
    progress_draw(&p, &numbers, NS_PER_S + 201 * NS_PER_MS);
    expect_drawn(master, "\r\033[K12/1000 done, 2 fai");
    close(terminal);
    close(master);
}

Test(progress, without_a_terminal_nothing_is_due)
{
    struct progress p;
    progress_init(&p, -1);
    progress_draw(&p, &numbers, NS_PER_S);
    progress_clear(&p);
    cr_assert_eq(progress_due_ns(&p), NEVER);
    cr_assert_not(p.shown);
}
