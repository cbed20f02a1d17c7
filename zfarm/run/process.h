/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_PROCESS_H
#define ZFARM_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/base/error.h"
#include "common/base/words.h"

/* One of zfarm's own programs, started by the front door. Embed it by value. */
struct process {
    const char *name; /* "ventilator" */
    pid_t pid;        /* 0: not running */
};

struct process_io {
    int stdin_fd;    /* comes to the child as its stdin; -1: /dev/null */
    bool has_stdout; /* else stderr */
    bool same_group; /* stays in our process group (reads the terminal); else leads its own */
    int ready_fd;    /* comes to the child as descriptor 3; -1: none */
    int hold_fd;     /* stays open in the child, as descriptor 4; -1: none */
};

/* The path of the program zfarm-NAME: beside this one, where both are installed; else where the
 * build puts it. The caller frees it. ERR_NOT_FOUND with words. */
enum error process_find(const char *name, char **path, struct why *why);

/* Starts argv[0] (a path). Signals are unblocked in it, but HOLD and GO. ERR_IO with words. */
enum error process_start(struct process *process, const char *name, const struct words *argv,
                         const struct process_io *io, struct why *why);
void process_signal(const struct process *process, int number); /* nothing if it does not run */

#endif
