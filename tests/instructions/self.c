/* SPDX-License-Identifier: MPL-2.0 */

/* Under valgrind /proc/self/exe is valgrind when a child is started, though not when it is read. This is
 * preloaded into the worker, which starts its guard and its plugins' processes by that name. */
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PATH_ROOM = 4096 };

static const char *true_path(const char *path, char *room)
{
    if (strcmp(path, "/proc/self/exe") != 0)
        return path;
    ssize_t size = readlink(path, room, PATH_ROOM - 1);
    if (size < 0)
        abort();
    room[size] = '\0';
    return room;
}

int execve(const char *path, char *const argv[], char *const envp[])
{
    char room[PATH_ROOM];
    return (int)syscall(SYS_execve, true_path(path, room), argv, envp);
}

/* It uses an execve of its own. */
int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    char room[PATH_ROOM];
    return posix_spawnp(pid, true_path(path, room), actions, attributes, argv, envp);
}
