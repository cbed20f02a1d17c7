/* SPDX-License-Identifier: MPL-2.0 */
#include "zfarm/run/process.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/sys/signals.h"
#include "common/base/xalloc.h"

extern char **environ;

enum { READY_FD = 3, HOLD_FD = 4 };

enum error process_find(const char *name, char **path, struct why *why)
{
    char self[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    if (size < 0)
        return fail(why, ERR_NOT_FOUND, "cannot tell where this program is: /proc is not there");
    self[size] = '\0';
    char *slash = strrchr(self, '/');
    *slash = '\0';
    *path = xasprintf("%s/zfarm-%s", self, name);
    if (access(*path, X_OK) == 0)
        return ERR_NONE;
    free(*path);
    *path = xasprintf("%s/../%s/zfarm-%s", self, name, name);
    if (access(*path, X_OK) == 0)
        return ERR_NONE;
    free(*path);
    *path = NULL;
    return fail(why, ERR_NOT_FOUND,
                "zfarm-%s is not beside zfarm in %s; install all of zfarm's programs there", name,
                self);
}

static void redirect(posix_spawn_file_actions_t *actions, const struct process_io *io)
{
    if (io->stdin_fd < 0)
        posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    else if (io->stdin_fd != STDIN_FILENO)
        posix_spawn_file_actions_adddup2(actions, io->stdin_fd, STDIN_FILENO);
    if (!io->has_stdout)
        posix_spawn_file_actions_adddup2(actions, STDERR_FILENO, STDOUT_FILENO);
    if (io->ready_fd >= 0)
        posix_spawn_file_actions_adddup2(actions, io->ready_fd, READY_FD);
    if (io->hold_fd >= 0)
        posix_spawn_file_actions_adddup2(actions, io->hold_fd, HOLD_FD);
}

static void reset_signals(posix_spawnattr_t *attributes, const struct process_io *io)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigaddset(&none, SIGNAL_HOLD); /* it reads these when it can */
    sigaddset(&none, SIGNAL_GO);
    sigfillset(&all);
    if (signals_ignored(SIGHUP))
        sigdelset(&all, SIGHUP);
    short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    posix_spawnattr_setsigmask(attributes, &none);
    posix_spawnattr_setsigdefault(attributes, &all);
    if (!io->same_group) {
        flags |= POSIX_SPAWN_SETPGROUP;
        posix_spawnattr_setpgroup(attributes, 0);
    }
    posix_spawnattr_setflags(attributes, flags);
}

enum error process_start(struct process *process, const char *name, const struct words *argv,
                         const struct process_io *io, struct why *why)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    redirect(&actions, io);
    reset_signals(&attributes, io);
    pid_t pid = 0;
    int error = posix_spawn(&pid, argv->items[0], &actions, &attributes, argv->items, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (error)
        return fail(why, ERR_IO, "cannot start %s: %s", argv->items[0], strerror(error));
    *process = (struct process){name, pid};
    return ERR_NONE;
}

void process_signal(const struct process *process, int number)
{
    if (process->pid > 0)
        kill(process->pid, number);
}
