/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SIGNALS_H
#define ZFARM_SIGNALS_H

#include <signal.h>
#include <sys/types.h>

#include "common/error.h"

/* Signals as data: TERM, INT, HUP, CHLD and END_NOW are blocked and read from a descriptor. PIPE is
 * blocked too, so that a write to a closed pipe fails with EPIPE; a child that gets the mask back
 * dies of it as usual. Embed it by value. */
struct signals {
    int fd;          /* poll it for input */
    pid_t parent;    /* 0: none */
    sigset_t before; /* the mask that children get back */
};

/* What a program of zfarm gets from the one that started it (`zfarm run`): nobody needs it any
 * more, it is to end at once. The kernel sends it when that program dies. */
#define SIGNAL_END_NOW SIGUSR1

/* Call it before anything starts a thread: threads inherit the mask. `parent`: the process with
 * which this one is to end, by SIGNAL_END_NOW; 0: it lives for itself. Fails with ERR_LIMIT. */
enum error signals_open(struct signals *signals, pid_t parent, struct why *why);
/* The number of the next signal, 0 if there is none; with a parent none of those that the terminal sends to
 * both. One CHLD may stand for several children. */
int signals_next(struct signals *signals);
/* Puts the old mask back: what still waits takes its usual effect. */
void signals_close(struct signals *signals);

#endif
