/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/exec/spawner.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(spawner, .timeout = 60);

static char written[4096]; /* what output_of returns */

static int start(const char *path, const char *line, pid_t *pid, int *reader)
{
    int ends[2];
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct spawner spawner;
    spawner_init(&spawner);
    char *const argv[] = {"sh", "-c", (char *)(uintptr_t)line, NULL};
    char *const environment[] = {"ONE=1", NULL};
    struct spawn spawn = {.path = path,
                          .argv = argv,
                          .environment = environment,
                          .fds = {null, ends[1], null},
                          .fd_count = 3};
    int error = spawner_start(&spawner, &spawn, pid);
    close(null);
    close(ends[1]);
    if (error || !reader)
        close(ends[0]);
    else
        *reader = ends[0];
    return error;
}

static const char *output_of(const char *line)
{
    pid_t pid;
    int reader, status;
    cr_assert_eq(start("/bin/sh", line, &pid, &reader), 0);
    size_t size = 0;
    ssize_t more;
    while ((more = read(reader, written + size, sizeof written - 1 - size)) > 0)
        size += (size_t)more;
    written[size] = '\0';
    close(reader);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0);
    return written;
}

static void on_signal(int number)
{
    (void)number;
}

Test(spawner, a_program_gets_its_arguments_environment_and_group)
{
    cr_expect_str_eq(output_of("echo $ONE; cut -d' ' -f5 /proc/$$/stat | grep -qx $$ && echo own"),
                     "1\nown\n");
}

Test(spawner, no_signal_is_blocked_or_ignored)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGUSR1, on_signal);
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    const char *kill_self = "kill -PIPE $$; echo ignored";
    pid_t pid;
    int status;
    cr_assert_eq(start("/bin/sh", kill_self, &pid, NULL), 0);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
    cr_expect_str_eq(output_of("grep SigBlk /proc/self/status"), "SigBlk:\t0000000000000000\n");
}

Test(spawner, our_own_signals_are_as_before)
{
    sigset_t before, after;
    sigprocmask(SIG_BLOCK, NULL, &before);
    signal(SIGUSR1, on_signal);
    output_of("true");
    sigprocmask(SIG_BLOCK, NULL, &after);
    struct sigaction action;
    sigaction(SIGUSR1, NULL, &action);
    cr_expect_eq(action.sa_handler, on_signal);
    for (int number = 1; number < _NSIG; number++)
        cr_expect_eq(sigismember(&before, number), sigismember(&after, number), "%d", number);
}

Test(spawner, what_cannot_be_started_says_why_and_leaves_nothing_to_reap)
{
    char script[] = "/tmp/zfarm-test-spawn-XXXXXX";
    int fd = mkstemp(script);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, "echo\n", 5), 5);
    fchmod(fd, 0700);
    close(fd);
    pid_t pid = 0;
    int noexec = start(script, "", &pid, NULL);
    unlink(script);
    cr_expect_eq(noexec, ENOEXEC);
    cr_expect_eq(start("/no/such/program", "", &pid, NULL), ENOENT);
    cr_expect_eq(start("/dev", "", &pid, NULL), EACCES);
    static char long_line[4 << 20];
    memset(long_line, 'x', sizeof long_line - 1);
    cr_expect_eq(start("/bin/sh", long_line, &pid, NULL), E2BIG);
    cr_expect_eq(pid, 0);
    cr_expect(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
}

/* dup2 to itself would leave the descriptor close-on-exec. */
Test(spawner, a_descriptor_that_is_in_its_place_already_is_given_too)
{
    int null = fcntl(open("/dev/null", O_RDWR), F_DUPFD_CLOEXEC, 10);
    int taken = fcntl(3, F_DUPFD_CLOEXEC, 10); /* Criterion's, it may be */
    cr_assert_eq(dup3(null, 3, O_CLOEXEC), 3);
    struct spawner spawner;
    spawner_init(&spawner);
    char *const argv[] = {"sh", "-c", "echo x >&3", NULL};
    char *const environment[] = {NULL};
    struct spawn spawn = {.path = "/bin/sh",
                          .argv = argv,
                          .environment = environment,
                          .fds = {null, null, null, 3},
                          .fd_count = 4};
    pid_t pid;
    int status;
    int error = spawner_start(&spawner, &spawn, &pid);
    if (taken >= 0)
        dup3(taken, 3, O_CLOEXEC);
    cr_assert_eq(error, 0);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_expect_eq(status, 0);
}
