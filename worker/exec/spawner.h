/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SPAWNER_H
#define ZFARM_SPAWNER_H

#include <signal.h>
#include <sys/types.h>

/* Starts a program in a new process by vfork and execve. What posix_spawn of the C library does
 * besides (a stack mapped and unmapped, 64 dispositions set, a limit asked for six times) costs a
 * short task 6 % of its time; the rules that make it safe are the C library's own: all signals are
 * blocked meanwhile, the child resets them before it lets any in, and it calls nothing but system
 * calls.
 *
 * The process gets a session, and so a process group, of its own and no terminal, no signal is blocked or ignored in
 * it, and it has no descriptor but those it is given and those that are not close-on-exec.
 *
 * Owns nothing. Decides nothing. child.c calls it; it calls nothing but the system. */

enum { SPAWN_FDS_MAX = 4 };

/* Which signals this process handles or ignores, so that each child need not ask. Private. */
struct spawner {
    int changed[_NSIG]; /* 0 ends it */
};

/* Looks at the dispositions, which must not change while `spawner` is in use. */
void spawner_init(struct spawner *spawner);

/* fds[i] becomes descriptor i of the new process; each is above 2. */
struct spawn {
    const char *path; /* not searched on PATH */
    char *const *argv;
    char *const *environment;
    int fds[SPAWN_FDS_MAX];
    int fd_count;
};

/* Returns 0 and sets `*pid` (the process is the caller's to reap), or the errno of what failed, and
 * then nothing runs and nothing is to be reaped: ENOENT, EACCES, ENOEXEC of the program, E2BIG of
 * its arguments, EAGAIN or ENOMEM of the machine. It returns when the new program is loaded. */
int spawner_start(const struct spawner *spawner, const struct spawn *spawn, pid_t *pid);

#endif
