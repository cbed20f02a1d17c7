/* SPDX-License-Identifier: MPL-2.0 */
#include "common/signals.h"

#include <errno.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum error signals_open(struct signals *signals, struct why *why)
{
    sigset_t read_set, blocked;
    sigemptyset(&read_set);
    sigaddset(&read_set, SIGTERM);
    sigaddset(&read_set, SIGINT);
    sigaddset(&read_set, SIGHUP);
    sigaddset(&read_set, SIGCHLD);
    blocked = read_set;
    sigaddset(&blocked, SIGPIPE);
    signals->fd = signalfd(-1, &read_set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (signals->fd < 0)
        return fail(why, ERR_LIMIT, "cannot watch for signals: %s", strerror(errno));
    pthread_sigmask(SIG_BLOCK, &blocked, &signals->before);
    return ERR_NONE;
}

int signals_next(struct signals *signals)
{
    struct signalfd_siginfo info;
    ssize_t got = read(signals->fd, &info, sizeof info);
    return got == (ssize_t)sizeof info ? (int)info.ssi_signo : 0;
}

void signals_close(struct signals *signals)
{
    close(signals->fd);
    pthread_sigmask(SIG_SETMASK, &signals->before, NULL);
}
