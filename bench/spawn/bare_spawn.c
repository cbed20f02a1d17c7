/* SPDX-License-Identifier: MPL-2.0 */

/* bare_spawn JOBS COUNT COMMAND ARG...
 *
 * Starts COMMAND COUNT times, JOBS at a time, reads what it writes on stdout and stderr to the end,
 * waits for it, and prints how many it did a second, how many of them failed, and how many bytes it
 * read. It does nothing else: the limit for anything that runs commands and captures their output. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { JOBS_MAX = 256 };

struct job {
    pid_t pid;
    int open; /* streams that have not ended */
};

static struct pollfd ends[JOBS_MAX * 2]; /* stdout and stderr of each job; fd -1: ended */
static struct job jobs[JOBS_MAX];
static posix_spawnattr_t attributes;
static int null;
static int failed;
static long long bytes;

static void die(const char *what, int error)
{
    fprintf(stderr, "bare_spawn: %s: %s\n", what, strerror(error));
    exit(1);
}

static void start(int at, char **argv)
{
    int out[2], err[2];
    if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
        die("pipe2", errno);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, null, 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_adddup2(&actions, err[1], 2);
    int error = posix_spawn(&jobs[at].pid, argv[0], &actions, &attributes, argv, environ);
    if (error)
        die(argv[0], error);
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    close(err[1]);
    ends[at * 2] = (struct pollfd){.fd = out[0], .events = POLLIN};
    ends[at * 2 + 1] = (struct pollfd){.fd = err[0], .events = POLLIN};
    jobs[at].open = 2;
}

/* Returns true when the stream has ended. */
static bool read_some(struct pollfd *end)
{
    static char chunk[64 << 10];
    if (!end->revents)
        return false;
    ssize_t size = read(end->fd, chunk, sizeof chunk);
    if (size > 0) {
        bytes += size;
        return false;
    }
    close(end->fd);
    end->fd = -1;
    return true;
}

/* Returns true when the job's process has ended. */
static bool serve(int at)
{
    if (!jobs[at].open)
        return false;
    jobs[at].open -= read_some(&ends[at * 2]);
    jobs[at].open -= read_some(&ends[at * 2 + 1]);
    if (jobs[at].open)
        return false;
    int status;
    if (waitpid(jobs[at].pid, &status, 0) < 0)
        die("waitpid", errno);
    failed += status != 0;
    return true;
}

static void set_attributes(void)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                              POSIX_SPAWN_SETPGROUP);
}

int main(int argc, char **argv)
{
    int at_once = argc > 3 ? atoi(argv[1]) : 0, count = argc > 3 ? atoi(argv[2]) : 0;
    if (at_once < 1 || at_once > JOBS_MAX || count < at_once) {
        fprintf(stderr, "usage: bare_spawn JOBS COUNT /PATH/TO/COMMAND [ARG ...]\n");
        return 2;
    }
    null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    set_attributes();
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    int started = 0, finished = 0;
    while (started < at_once)
        start(started++, argv + 3);
    while (finished < count) {
        poll(ends, (nfds_t)at_once * 2, -1);
        for (int at = 0; at < at_once; at++)
            if (serve(at)) {
                finished++;
                if (started++ < count)
                    start(at, argv + 3);
            }
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    double seconds =
        (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
    printf("%.1f %d %lld\n", count / seconds, failed, bytes);
    return 0;
}
