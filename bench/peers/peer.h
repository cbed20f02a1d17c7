/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_PEER_H
#define ZFARM_PEER_H

/* What the drivers of the peers share. Each is called as
 *
 *     NAME PORT double|true <TASKS >RESULTS
 *
 * with a server on that port of this machine: starts two workers, hands the tasks out through the
 * server, writes a line for each result, and at the end the seconds that it took, without starting
 * the workers, as the last line of stderr. A task is a number: its result is twice that, or with `true`
 * nothing, and /bin/true is run for it. */
#include <stdbool.h>
#include <stddef.h>

enum { PEER_WORKERS = 2, PEER_TASK_MAX = 32, PEER_AT_ONCE = 1000 /* requests on their way */ };

struct peer {
    int port;
    bool runs_true;
    char (*tasks)[PEER_TASK_MAX];
    size_t count;
};

/* Reads the arguments and all tasks; ends the process if they are wrong. */
struct peer peer_new(int argc, char **argv);

/* Does the task and returns its result, which is valid until the next. */
const char *peer_do(const struct peer *peer, const char *task, size_t size);

/* Forks the workers, each of which runs `work` for ever, and returns the time that it is now. */
double peer_start(const struct peer *peer, void (*work)(const struct peer *peer));

/* Writes what a task has given. */
void peer_result(const struct peer *peer, const char *result, size_t size);

/* Ends the workers and says how long it took. Returns main's status. */
int peer_end(struct peer *peer, double began_s);

_Noreturn void peer_die(const char *what);

#endif
