/* SPDX-License-Identifier: MPL-2.0 */
#include "common/sys/signals.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

bool signals_ignored(int number)
{
    struct sigaction now;
    return sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}

/* A parent that died before this was asked for is noticed here. */
static void end_with(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGNAL_END_NOW);
    if (getppid() != parent)
        kill(getpid(), SIGNAL_END_NOW);
}

enum error signals_open(struct signals *signals, pid_t parent, struct why *why)
{
    sigset_t read_set, blocked;
    sigemptyset(&read_set);
    sigaddset(&read_set, SIGTERM);
    sigaddset(&read_set, SIGINT);
    if (!signals_ignored(SIGHUP))
        sigaddset(&read_set, SIGHUP);
    sigaddset(&read_set, SIGXCPU);
    sigaddset(&read_set, SIGCHLD);
    sigaddset(&read_set, SIGNAL_END_NOW);
    if (parent) {
        sigaddset(&read_set, SIGNAL_HOLD);
        sigaddset(&read_set, SIGNAL_GO);
    }
    blocked = read_set;
    sigaddset(&blocked, SIGPIPE);
    /* With a parent the keys and the turns of the terminal are its own business: it says HOLD. */
    static const int of_terminal[] = {SIGTSTP, SIGTTIN, SIGTTOU};
    for (size_t i = 0; parent && i < sizeof of_terminal / sizeof *of_terminal; i++)
        sigaddset(&blocked, of_terminal[i]);
    signals->parent = parent;
    signals->fd = signalfd(-1, &read_set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (signals->fd < 0)
        return fail(why, ERR_LIMIT, "cannot watch for signals: %s", strerror(errno));
    pthread_sigmask(SIG_BLOCK, &blocked, &signals->before);
    sigdelset(&signals->before, SIGNAL_HOLD); /* as our parent started us */
    sigdelset(&signals->before, SIGNAL_GO);
    if (parent)
        end_with(parent);
    return ERR_NONE;
}

/* A key of the terminal, or the end of it, reaches the parent too, which decides what follows. */
static bool is_the_parents(const struct signals *signals, const struct signalfd_siginfo *info)
{
    bool from_terminal = info->ssi_signo == SIGINT || info->ssi_signo == SIGHUP;
    return signals->parent && from_terminal && info->ssi_code == SI_KERNEL;
}

int signals_next(struct signals *signals)
{
    struct signalfd_siginfo info;
    while (read(signals->fd, &info, sizeof info) == (ssize_t)sizeof info)
        if (!is_the_parents(signals, &info))
            return (int)info.ssi_signo;
    return 0;
}

enum request requests_take(struct requests *requests, int number, uint64_t now_ns)
{
    bool insists = number == SIGTERM || number == SIGINT;
    if (number == SIGNAL_END_NOW)
        return REQUEST_END;
    if (!insists && number != SIGHUP && number != SIGXCPU)
        return REQUEST_NONE;
    if (insists && requests->insistent && now_ns >= requests->first_ns + REQUEST_AGAIN_NS)
        return REQUEST_END;
    if (insists && !requests->insistent) {
        requests->insistent = true;
        requests->first_ns = now_ns;
    }
    bool first = !requests->asked;
    requests->asked = true;
    return first ? REQUEST_LEAVE : REQUEST_NONE;
}

void signals_tell_held(const struct signals *signals)
{
    if (signals->parent)
        kill(signals->parent, SIGNAL_HELD);
}

void signals_close(struct signals *signals)
{
    close(signals->fd);
    pthread_sigmask(SIG_SETMASK, &signals->before, NULL);
}
