/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/exec/guard.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(guard, .timeout = 60);

/* A worker (guard_program.c) that runs a script whose processes hold the writing end of `alive` as
 * their stderr: the end of that pipe says that they are all gone. */
struct worker {
    pid_t pid;
    pid_t guard;
    pid_t task;
    int in;
    int alive;
};

static void read_line(int fd, char *line, size_t size)
{
    size_t at = 0;
    while (at + 1 < size && read(fd, line + at, 1) == 1 && line[at] != '\n')
        at++;
    line[at] = '\0';
}

/* Orphans come to us, so that we can wait for the guard as well. */
static struct worker start_worker(const char *mode, const char *script)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    struct worker worker;
    int in[2], out[2], alive[2];
    cr_assert(!pipe2(in, O_CLOEXEC) && !pipe2(out, O_CLOEXEC) && !pipe2(alive, O_CLOEXEC));
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_adddup2(&actions, alive[1], 2);
    char *argv[] = {(char *)"worker", (char *)mode, (char *)script, NULL};
    cr_assert_eq(posix_spawn(&worker.pid, GUARD_PROGRAM, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    close(alive[1]);
    char line[64];
    read_line(out[0], line, sizeof line);
    cr_assert_eq(sscanf(line, "%d %d", &worker.guard, &worker.task), 2, "%s", line);
    close(out[0]);
    worker.in = in[1];
    worker.alive = alive[0];
    return worker;
}

/* Waits until the script has said `word` on its stderr. */
static void await_word(const struct worker *worker, const char *word)
{
    char line[256];
    read_line(worker->alive, line, sizeof line);
    cr_assert_str_eq(line, word);
}

static bool all_gone(const struct worker *worker, int timeout_ms)
{
    struct pollfd alive = {.fd = worker->alive, .events = POLLIN};
    char byte;
    return poll(&alive, 1, timeout_ms) == 1 && read(worker->alive, &byte, 1) == 0;
}

static void kill_worker(const struct worker *worker)
{
    kill(worker->pid, SIGKILL);
    waitpid(worker->pid, NULL, 0);
}

static int status_of_guard(const struct worker *worker)
{
    int status = -1;
    cr_assert_eq(waitpid(worker->guard, &status, 0), worker->guard);
    return status;
}

Test(guard, a_killed_workers_task_and_its_children_die)
{
    struct worker worker = start_worker("flush", "sleep 1000 & echo on >&2; sleep 1000; true");
    await_word(&worker, "on");
    kill_worker(&worker);
    cr_expect(all_gone(&worker, 10000));
    cr_expect_eq(status_of_guard(&worker), 0);
}

Test(guard, a_task_without_the_mark_dies_with_its_group)
{
    struct worker worker =
        start_worker("flush", "exec env -i sh -c 'echo on >&2; sleep 1000; true'");
    await_word(&worker, "on");
    kill_worker(&worker);
    cr_expect(all_gone(&worker, 10000));
    cr_expect_eq(status_of_guard(&worker), 0);
}

Test(guard, a_process_that_left_the_group_is_found_by_the_mark)
{
    struct worker worker =
        start_worker("flush", "setsid sh -c 'echo on >&2; sleep 1000; true' & sleep 1000; true");
    await_word(&worker, "on");
    kill_worker(&worker);
    cr_expect(all_gone(&worker, 10000));
    cr_expect_eq(status_of_guard(&worker), 0);
}

Test(guard, a_group_that_the_guard_was_not_told_of_is_found_by_the_mark)
{
    struct worker worker = start_worker("silent", "echo on >&2; sleep 1000; true");
    await_word(&worker, "on");
    kill_worker(&worker);
    cr_expect(all_gone(&worker, 10000));
    cr_expect_eq(status_of_guard(&worker), 0);
}

Test(guard, a_worker_that_says_goodbye_leaves_its_processes_alone)
{
    struct worker worker = start_worker("flush", "echo on >&2; sleep 1000; true");
    await_word(&worker, "on");
    close(worker.in);
    int status = -1;
    waitpid(worker.pid, &status, 0);
    cr_expect_eq(status, 0);
    cr_expect(kill(worker.guard, 0) && errno == ESRCH, "guard_destroy waits for the guard");
    cr_expect_eq(kill(-worker.task, 0), 0);
    kill(-worker.task, SIGKILL);
    cr_expect(all_gone(&worker, 10000));
}

Test(guard, signals_that_end_a_worker_do_not_end_the_guard)
{
    struct worker worker = start_worker("flush", "echo on >&2; sleep 1000; true");
    await_word(&worker, "on");
    kill(worker.guard, SIGTERM);
    kill(worker.guard, SIGINT);
    kill(worker.guard, SIGHUP);
    kill_worker(&worker);
    cr_expect(all_gone(&worker, 10000));
    cr_expect_eq(status_of_guard(&worker), 0);
}

/* The names in /proc/PID/fd, but for those of the directory itself. */
static int count_descriptors(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *directory = opendir(path);
    cr_assert(directory);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(directory));)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

/* The guard reads its pipe, and so is past the closing of all else, once the pipe is empty; that
 * shows in nothing but its descriptors, so they are looked at until they are as they should be. */
Test(guard, holds_nothing_open_but_its_pipe_and_has_a_session_of_its_own)
{
    struct worker worker = start_worker("flush", "echo on >&2; sleep 1000; true");
    await_word(&worker, "on");
    for (int i = 0; i < 1000 && count_descriptors(worker.guard) != 1; i++)
        poll(NULL, 0, 10);
    cr_expect_eq(count_descriptors(worker.guard), 1);
    cr_expect_eq(getsid(worker.guard), worker.guard);
    kill_worker(&worker);
    cr_expect(all_gone(&worker, 10000));
    cr_expect_eq(status_of_guard(&worker), 0);
}

Test(guard, a_program_that_is_not_there_is_an_error_with_words)
{
    struct guard *guard = NULL;
    struct why why;
    cr_assert_eq(guard_new(&guard, "/no/such/program", &why), ERR_IO);
    cr_expect(strstr(why.text, "/no/such/program"), "%s", why.text);
    cr_expect_null(guard);
}

/* More orders than its pipe holds: nothing blocks, and what was told last counts. */
Test(guard, takes_more_groups_than_its_pipe_holds)
{
    signal(SIGPIPE, SIG_IGN);
    struct guard *guard = NULL;
    struct why why;
    cr_assert_eq(guard_new(&guard, GUARD_PROGRAM, &why), ERR_NONE, "%s", why.text);
    for (pid_t group = 1 << 29; group < (1 << 29) + 200000; group++) {
        guard_add(guard, group);
        guard_flush(guard);
        guard_remove(guard, group);
    }
    pid_t pid = guard_pid(guard);
    guard_destroy(&guard);
    cr_expect(kill(pid, 0) && errno == ESRCH);
}
