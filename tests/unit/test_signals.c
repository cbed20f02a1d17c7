/* SPDX-License-Identifier: MPL-2.0 */
#include "common/signals.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/eventually.h"

TestSuite(signals, .timeout = 60);

Test(signals, come_as_data_one_by_one)
{
    struct signals signals;
    cr_assert_eq(signals_open(&signals, NULL), ERR_NONE);
    cr_assert_eq(signals_next(&signals), 0);
    kill(getpid(), SIGTERM);
    cr_assert_eq(signals_next(&signals), SIGTERM);
    kill(getpid(), SIGINT);
    kill(getpid(), SIGHUP);
    int both = signals_next(&signals) + signals_next(&signals);
    cr_assert_eq(both, SIGINT + SIGHUP);
    cr_assert_eq(signals_next(&signals), 0);
    signals_close(&signals);
}

Test(signals, tell_that_a_child_ended)
{
    struct signals signals;
    signals_open(&signals, NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(3);
    eventually(signals_next(&signals) == SIGCHLD);
    cr_assert_eq(waitpid(child, NULL, WNOHANG), child);
    signals_close(&signals);
}

Test(signals, a_write_to_a_closed_pipe_is_an_error_and_not_the_end)
{
    struct signals signals;
    int ends[2];
    signals_open(&signals, NULL);
    cr_assert_eq(pipe(ends), 0);
    close(ends[0]);
    cr_assert_eq(write(ends[1], "x", 1), -1);
    cr_assert_eq(errno, EPIPE);
    close(ends[1]);
}

Test(signals, remember_the_mask_that_children_get_back)
{
    struct signals signals;
    sigset_t now;
    signals_open(&signals, NULL);
    cr_assert_eq(sigismember(&signals.before, SIGTERM), 0);
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    cr_assert_eq(sigismember(&now, SIGTERM), 1);
    signals_close(&signals);
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    cr_assert_eq(sigismember(&now, SIGTERM), 0);
}
