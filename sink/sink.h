/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SINK_H
#define ZFARM_SINK_H

#include "common/wire/halt_rule.h"
#include "sink/outputs.h"

/* The sink's shell: sockets, clock, signals and outputs around the collector. */
struct sink_options {
    const char *connect;
    const char *bind;      /* of the results inbox */
    const char *advertise; /* host that workers are told; NULL: what `bind` says */
    uint64_t give_up_ns;
    struct halt_rule halt;
    bool strict_results; /* only of tasks that their worker was handed */
    const char *keys;    /* directory of its keys; NULL: none */
    bool insecure;
    unsigned bar;    /* 0: when stderr is a terminal; 1: yes; 2: no */
    bool quiet;      /* no summary, no hints, and no bar that nobody has asked for */
    int ready_fd;    /* -1: nobody wants to know */
    uint64_t parent; /* the process with which it is to end; 0: it lives for itself */
    struct outputs_options outputs;
};

/* Collects a job, start to end. Returns the exit status; everything that users are to know has
 * been said on stderr. Call it before any thread exists. */
int sink_run(const struct sink_options *options);

#endif
