/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_VENTILATOR_H
#define ZFARM_VENTILATOR_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/input/source.h"

/* The ventilator's shell: sockets, clock, signals and the input around the dispatcher. */
struct ventilator_options {
    const char *bind;  /* of control */
    const char *lanes; /* of the gate; NULL: the next port of the same host */
    uint64_t retries;
    uint64_t retry_delay_ns;
    bool hedge;
    uint64_t queue_max_bytes;
    uint64_t task_max_bytes;
    uint64_t workers_max; /* 0: as many as the descriptors allow */
    uint64_t heartbeat_ns;
    uint64_t give_up_ns;
    uint64_t kill_after_ns; /* interrupted, and the sink cannot write */
    const char *keys;       /* directory of its keys and of those that are admitted; NULL: none */
    bool insecure;
    bool is_first;   /* no worker can be left of an earlier life of this job */
    int ready_fd;    /* -1: nobody wants to know */
    uint64_t parent; /* the process with which it is to end; 0: it lives for itself */
    struct source_options source;
};

/* Runs a job, start to end. Returns the exit status; everything that users are to know has been
 * said on stderr. Call it before any thread exists. */
int ventilator_run(const struct ventilator_options *options);

#endif
