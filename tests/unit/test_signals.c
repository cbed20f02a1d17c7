/* SPDX-License-Identifier: MPL-2.0 */
#include "common/sys/signals.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/eventually.h"

TestSuite(signals, .timeout = 60);

Test(signals, come_as_data_one_by_one)
{
    struct signals signals;
    signal(SIGHUP, SIG_DFL); /* whatever has started the test */
    cr_assert_eq(signals_open(&signals, 0, NULL), ERR_NONE);
    cr_assert_eq(signals_next(&signals), 0);
    kill(getpid(), SIGTERM);
    cr_assert_eq(signals_next(&signals), SIGTERM);
    kill(getpid(), SIGINT);
    kill(getpid(), SIGHUP);
    int both = signals_next(&signals) + signals_next(&signals);
    cr_assert_eq(both, SIGINT + SIGHUP);
    cr_assert_eq(signals_next(&signals), 0);
    kill(getpid(), SIGXCPU);
    cr_assert_eq(signals_next(&signals), SIGXCPU);
    signals_close(&signals);
}

Test(signals, tell_that_a_child_ended)
{
    struct signals signals;
    signals_open(&signals, 0, NULL);
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
    signals_open(&signals, 0, NULL);
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
    signals_open(&signals, 0, NULL);
    cr_assert_eq(sigismember(&signals.before, SIGTERM), 0);
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    cr_assert_eq(sigismember(&now, SIGTERM), 1);
    signals_close(&signals);
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    cr_assert_eq(sigismember(&now, SIGTERM), 0);
}

/* A child that follows a middle process tells what it was told when that one is gone. */
static void follow(int told)
{
    struct signals signals;
    signals_open(&signals, getppid(), NULL);
    write(told, "r", 1);
    eventually(signals_next(&signals) == SIGNAL_END_NOW);
    write(told, "e", 1);
    _exit(0);
}

Test(signals, a_process_that_follows_its_parent_is_told_when_that_is_gone)
{
    int told[2], go[2];
    char letter = 0;
    cr_assert_eq(pipe(told), 0);
    cr_assert_eq(pipe(go), 0);
    pid_t parent = fork();
    if (parent == 0) {
        if (fork() == 0)
            follow(told[1]);
        read(go[0], &letter, 1);
        _exit(0);
    }
    cr_assert_eq(read(told[0], &letter, 1), 1);
    cr_assert_eq(letter, 'r');
    kill(parent, SIGKILL);
    cr_assert_eq(waitpid(parent, NULL, 0), parent);
    cr_assert_eq(read(told[0], &letter, 1), 1);
    cr_assert_eq(letter, 'e');
}

Test(signals, a_parent_that_is_gone_already_is_noticed)
{
    struct signals signals;
    signals_open(&signals, getppid() + 1, NULL);
    cr_assert_eq(signals_next(&signals), SIGNAL_END_NOW);
    signals_close(&signals);
}

static const int leaving[] = {SIGTERM, SIGINT, SIGHUP, SIGXCPU};
enum { LEAVING = sizeof leaving / sizeof *leaving };

Test(signals, each_that_a_batch_system_sends_asks_to_leave_and_once)
{
    for (size_t i = 0; i < LEAVING; i++) {
        struct requests requests = {0};
        cr_assert_eq(requests_take(&requests, SIGCHLD, 1), REQUEST_NONE);
        cr_assert_eq(requests_take(&requests, leaving[i], 1), REQUEST_LEAVE);
        for (size_t k = 0; k < LEAVING; k++)
            cr_assert_eq(requests_take(&requests, leaving[k], 1 + k), REQUEST_NONE);
        cr_assert_eq(requests_take(&requests, SIGNAL_END_NOW, 2), REQUEST_END);
    }
}

Test(signals, only_a_second_term_or_int_a_second_later_asks_to_end_at_once)
{
    struct requests requests = {0};
    cr_assert_eq(requests_take(&requests, SIGTERM, 5), REQUEST_LEAVE);
    cr_assert_eq(requests_take(&requests, SIGINT, 5 + REQUEST_AGAIN_NS - 1), REQUEST_NONE);
    for (uint64_t second = 1; second < 10; second++) {
        cr_assert_eq(requests_take(&requests, SIGXCPU, second * REQUEST_AGAIN_NS), REQUEST_NONE);
        cr_assert_eq(requests_take(&requests, SIGHUP, second * REQUEST_AGAIN_NS), REQUEST_NONE);
    }
    cr_assert_eq(requests_take(&requests, SIGINT, 5 + REQUEST_AGAIN_NS), REQUEST_END);
}

Test(signals, a_hangup_does_not_count_as_the_first_term)
{
    struct requests requests = {0};
    cr_assert_eq(requests_take(&requests, SIGHUP, 5), REQUEST_LEAVE);
    cr_assert_eq(requests_take(&requests, SIGTERM, 5 + 2 * REQUEST_AGAIN_NS), REQUEST_NONE);
    cr_assert_eq(requests_take(&requests, SIGTERM, 5 + 3 * REQUEST_AGAIN_NS), REQUEST_END);
}

Test(signals, a_HUP_that_was_ignored_at_the_start_stays_so)
{
    struct signals signals;
    signal(SIGHUP, SIG_IGN);
    signals_open(&signals, 0, NULL);
    kill(getpid(), SIGHUP);
    cr_assert_eq(signals_next(&signals), 0);
    signals_close(&signals);
}

Test(signals, a_HOLD_is_answered_to_the_parent)
{
    sigset_t held;
    sigemptyset(&held);
    sigaddset(&held, SIGNAL_HELD);
    sigaddset(&held, SIGNAL_HOLD); /* as the parent starts its programs: none is too early */
    pthread_sigmask(SIG_BLOCK, &held, NULL);
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        struct signals signals;
        signals_open(&signals, parent, NULL);
        eventually(signals_next(&signals) == SIGNAL_HOLD);
        signals_tell_held(&signals);
        _exit(sigismember(&signals.before, SIGNAL_HOLD));
    }
    kill(child, SIGNAL_HOLD);
    siginfo_t info;
    struct timespec limit = {30, 0};
    sigdelset(&held, SIGNAL_HOLD);
    cr_assert_eq(sigtimedwait(&held, &info, &limit), SIGNAL_HELD);
    cr_assert_eq(info.si_pid, child);
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
