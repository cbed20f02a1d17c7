/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_CHAOS_FARM_H
#define ZFARM_CHAOS_FARM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A farm of four processes over loopback TCP in the current directory, and what a process manager does
 * for it: who was killed is started again, by the same command. The caller is the reaper of all that
 * they leave behind (PR_SET_CHILD_SUBREAPER), and what NAME says is in NAME.err. */
enum role { VENTILATOR, SINK, WORKER_ONE, WORKER_TWO, ROLES };

struct member {
    const char *name;
    char *argv[24]; /* owned */
    pid_t pid;      /* 0: it has ended by itself, with `status` */
    int status;     /* as waitpid gives it */
    unsigned lives;
    uint64_t ended_ns;
};

struct farm_options {
    const char *programs; /* their directory */
    const char *plugin;
    uint64_t task_us;
    uint64_t fail_every;
    bool keep_order;
};

struct farm {
    struct member members[ROLES];
};

/* Makes the commands, on three ports that are free; the tasks are in the file `tasks`, the effects go
 * to `effects`, the output to `out`, the store is farm.db. */
void farm_init(struct farm *farm, const struct farm_options *options, uint64_t chance);
void farm_free(struct farm *farm);
void farm_start(struct farm *farm, enum role role);
/* Sends KILL and returns when it is dead. */
void farm_kill(struct farm *farm, enum role role);
/* STOP or CONT to it, and `with_children` to the children it has now. */
void farm_signal(struct farm *farm, enum role role, int number, bool with_children);
/* Takes note of who has ended. */
void farm_reap(struct farm *farm);
bool farm_has_ended(const struct farm *farm, enum role role);
/* Exit status, or 256 + the signal. */
int farm_status(const struct farm *farm, enum role role);
/* Kills all that there is, and what they had started. Returns how many there were. */
size_t farm_kill_all(struct farm *farm);
/* Whether any process is left that the farm had started. */
bool farm_is_gone(struct farm *farm);

#endif
