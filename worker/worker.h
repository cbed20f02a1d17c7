/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_WORKER_H
#define ZFARM_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cli/ok_exit.h"
#include "common/base/error.h"
#include "common/cli/jobs.h"
#include "common/cli/timeout.h"

/* The worker's shell: sockets, clock, signals and children around the slots. */
struct worker_options {
    const char *connect;
    const char *lanes;   /* overrides where WELCOME says that tasks come from; NULL: do not */
    const char *results; /* the same for where results go */
    const char *name;    /* NULL: HOST:PID */
    struct jobs jobs;
    struct timeout timeout;
    uint64_t kill_after_ns;
    uint64_t linger_ns;
    uint64_t output_max_bytes;
    uint64_t give_up_ns;
    uint64_t grace_ns; /* --grace; NEVER: it waits for what runs */
    const char *tmpdir;
    int ready_fd;    /* told that its executor is there; -1: nobody wants to know */
    uint64_t parent; /* the process with which it is to end; 0: it lives for itself */
    bool stay;
    const char *keys; /* directory of its keys; NULL: none */
    bool insecure;
    bool shell;
    const char *plugin; /* the file; NULL: commands */
    bool coprocess;     /* COMMAND is started once a slot */
    bool pipe;          /* the task is COMMAND's standard input */
    struct ok_exit ok_exit;
    bool null;               /* and its lines end with NUL */
    const char *replacement; /* -I; NULL: {} */
    char *const *words;      /* COMMAND and its arguments, or the plugin's; NULL at the end */
};

/* Works until the job is over. Returns the exit status; everything that users are to know has been
 * said on stderr. Call it before any thread exists. */
int worker_run(const struct worker_options *options);

#endif
