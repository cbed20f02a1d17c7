/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_FARM_H
#define ZFARM_FARM_H

#include <stdbool.h>

#include "common/base/words.h"
#include "zfarm/hosts/hosts.h"
#include "zfarm/run/spool.h"

/* A farm of one ventilator, one worker and one sink on this machine, which talk over unix sockets
 * in a private directory; and of a worker on each of the hosts, which ssh connects to them. With a
 * `direct_port` they talk over TCP instead, encrypted by keys that are made for this run.
 *
 * What is started when, and what follows when one of them ends or a signal comes, decides the supervisor
 * (supervisor.h, docs/supervisor.md). All three end when this process dies. */
struct farm_arguments {
    struct words ventilator;  /* options and inputs */
    struct words worker;      /* options, "--" and COMMAND; of the one on this machine */
    struct words host_worker; /* the same of those on hosts */
    struct words sink;        /* options */
    struct hosts *hosts;      /* NULL: none */
    bool no_worker;           /* on this machine */
    uint64_t direct_port;     /* of TCP, and the next two: with keys of this run; 0: unix sockets */
    bool has_store;           /* a sink that is killed can go on where it was */
    bool can_read_again;      /* so can a ventilator, which finds the same input */
    struct input_spool *spool; /* or gets it from here; NULL: it reads our stdin */
};

/* Runs it to its end and returns the exit status. */
int farm_run(const struct farm_arguments *arguments);

#endif
