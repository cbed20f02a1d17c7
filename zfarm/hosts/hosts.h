/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_HOSTS_H
#define ZFARM_HOSTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/error.h"
#include "common/base/words.h"

/* The hosts on which `zfarm run` has workers by ssh. Each has one process of ours, the host runner
 * (host_runner.h), which ends when its worker does; one that fails is started again, after 1 to 60 s. When
 * none of them is worth another try (host_trial.h) and this machine is none of them, all are lost.
 *
 *     off -> starting -> ready -> (ended: off for good) or (failed: waits, then starting again)
 *
 * A file of hosts is looked at each second, and taken in when two looks find the same: what is new in it is
 * started, what is gone from it drains unless --host names it too, and what has another number of slots drains
 * and is started anew. */

struct hosts_options {
    const struct words *names;  /* --host: each may be several with commas between */
    const char *file;           /* --hosts; NULL: none */
    const char *ssh;            /* --ssh: the program and its options */
    uint64_t direct_port;       /* --direct; 0: through ssh */
    uint64_t give_up_ns;        /* --give-up */
    const struct words *worker; /* the worker's options, "--" and COMMAND */
};

struct hosts;

/* Reads the names and the file; nothing is started yet. `options` must stay valid. ERR_INVALID and
 * what reading the file failed with, with words; then there is nothing to close. */
enum error hosts_open(struct hosts **hosts, const struct hosts_options *options, struct why *why);
void hosts_close(struct hosts **hosts); /* takes NULL */

/* Whether this machine is one of them, and with how many slots (NULL: not said). */
bool hosts_include_this(const struct hosts *hosts, const char **slots);

/* Appends the worker's arguments to `to`, with `slots` (NULL: none) as the number of its slots. */
void hosts_add_worker(const struct words *worker, const char *slots, struct words *to);

/* Starts the runners, for workers that connect to the sockets in `dir`. */
void hosts_begin(struct hosts *hosts, const char *dir, uint64_t now_ns);
/* Starts what is due, hears who is ready, looks into the file. */
void hosts_turn(struct hosts *hosts, uint64_t now_ns);
/* NEVER: only an event changes something. */
uint64_t hosts_deadline(const struct hosts *hosts, uint64_t now_ns);
/* A child was reaped: returns false when it is none of ours. `over`: the job is, so nobody is started
 * again. */
bool hosts_reaped(struct hosts *hosts, pid_t pid, int status, bool over, uint64_t now_ns);
bool hosts_are_left(const struct hosts *hosts); /* a runner runs, or waits to be started */
/* This machine has no worker, and no host is worth another try. `why` names the reasons; it is empty when all
 * hosts have workers that said why they cannot work. Ask it after hosts_turn. */
bool hosts_are_lost(const struct hosts *hosts, uint64_t now_ns, struct why *why);
/* Nobody is started any more. */
void hosts_start_no_more(struct hosts *hosts);
void hosts_signal(const struct hosts *hosts, int number); /* every runner that runs */

#endif
