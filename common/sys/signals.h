/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SIGNALS_H
#define ZFARM_SIGNALS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/error.h"

/* Signals as data: TERM, INT, HUP (unless it was ignored), XCPU, CHLD and END_NOW are blocked and read from a
 * descriptor. PIPE is blocked too, so that a write to a closed pipe fails with EPIPE; a child that gets the
 * mask back dies of it as usual. Embed it by value. */
struct signals {
    int fd;          /* poll it for input */
    pid_t parent;    /* 0: none */
    sigset_t before; /* the mask that children get back */
};

/* What a program of zfarm gets from the one that started it (`zfarm run`): nobody needs it any
 * more, it is to end at once. The kernel sends it when that program dies. */
#define SIGNAL_END_NOW SIGUSR1

/* What a signal asks a program of zfarm for. Batch systems send several at once, and XCPU each second: only
 * who asks twice, and not in the same breath, is a person (or a supervisor) that means it. */
enum request {
    REQUEST_NONE,  /* nothing new, or it is about children */
    REQUEST_LEAVE, /* the first TERM, INT, HUP or XCPU: what runs may finish */
    REQUEST_END,   /* END_NOW, or TERM or INT a second after the first of these: at once */
};
#define REQUEST_AGAIN_NS (1000 * UINT64_C(1000000))

/* What has been asked so far. Zero-initialised is valid. */
struct requests {
    bool asked;
    bool insistent;    /* a TERM or an INT was among it */
    uint64_t first_ns; /* when the first of these came */
};
/* ^Z in the terminal of the parent: nothing is begun and nothing is drawn until GO, what runs is stopped. Whoever does
 * so says HELD to the parent, which is stopped itself then. Blocked from its start on, so that none is
 * too early. */
#define SIGNAL_HOLD SIGRTMIN
#define SIGNAL_GO (SIGRTMIN + 1)
#define SIGNAL_HELD (SIGRTMIN + 2)

/* Whether it was ignored when this process began, as nohup does with HUP: then it is to stay so. */
bool signals_ignored(int number);

/* Call it before anything starts a thread: threads inherit the mask. `parent`: the process with
 * which this one is to end, by SIGNAL_END_NOW; 0: it lives for itself. Fails with ERR_LIMIT. */
enum error signals_open(struct signals *signals, pid_t parent, struct why *why);
/* The number of the next signal, 0 if there is none; with a parent none of those that the terminal sends to
 * both. One CHLD may stand for several children. */
int signals_next(struct signals *signals);
/* What the signal asks for, that came at `now_ns` (monotonic). Also for what signals_next does not tell. */
enum request requests_take(struct requests *requests, int number, uint64_t now_ns);
/* The answer to HOLD. */
void signals_tell_held(const struct signals *signals);
/* Puts the old mask back: what still waits takes its usual effect. */
void signals_close(struct signals *signals);

#endif
