/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/exec/spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

void spawner_init(struct spawner *spawner)
{
    size_t count = 0;
    for (int number = 1; number < _NSIG; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_DFL)
            spawner->changed[count++] = number;
    }
    spawner->changed[count] = 0;
}

static int give_fds(const struct spawn *spawn)
{
    for (int fd = 0; fd < spawn->fd_count; fd++) {
        /* dup2 to itself would leave it close-on-exec */
        int result = spawn->fds[fd] == fd ? fcntl(fd, F_SETFD, 0) : dup2(spawn->fds[fd], fd);
        if (result < 0)
            return errno;
    }
    return 0;
}

/* In the child, on the parent's memory and stack: the parent stands still until this ends. Returns
 * what failed. */
static int become(const struct spawner *spawner, const struct spawn *spawn)
{
    for (const int *number = spawner->changed; *number; number++)
        sigaction(*number, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    if (setsid() < 0)
        return errno;
    int error = give_fds(spawn);
    if (error)
        return error;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(spawn->path, spawn->argv, spawn->environment);
    return errno;
}

int spawner_start(const struct spawner *spawner, const struct spawn *spawn, pid_t *pid)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    volatile int failed = 0; /* the child writes it */
    /* NOLINTBEGIN(clang-analyzer-*): spawner.h says why vfork, and by which rules */
    pid_t child = vfork();
    if (child == 0) {
        failed = become(spawner, spawn);
        _exit(127);
    }
    /* NOLINTEND(clang-analyzer-*) */
    int error = child < 0 ? errno : failed;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error && child > 0)
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
            ;
    if (!error)
        *pid = child;
    return error;
}
