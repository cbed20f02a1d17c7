/* SPDX-License-Identifier: MPL-2.0 */
#include "common/net/poller.h"

#include <assert.h>
#include <zmq.h>

#include "common/base/clock.h"

struct watch watch_of(void *socket)
{
    struct watch watch = {.fd = -1, .look = true};
    size_t size = sizeof watch.fd;
    int rc = zmq_getsockopt(socket, ZMQ_FD, &watch.fd, &size);
    assert(rc == 0);
    return watch;
}

void poller_add_fd(struct poller *p, int fd, short events)
{
    assert(p->count < POLLER_MAX);
    p->items[p->count++] = (struct pollfd){.fd = fd, .events = events};
}

void poller_add(struct poller *p, struct watch *watch)
{
    p->watches[p->count] = watch;
    poller_add_fd(p, watch->fd, POLLIN);
    p->at_once |= watch->look;
}

static uint64_t timeout_ns(const struct poller *p, uint64_t due_ns)
{
    if (p->at_once)
        return 0;
    uint64_t now_ns = clock_now_ns();
    return due_ns > now_ns ? due_ns - now_ns : 0;
}

void poller_wait(struct poller *p, uint64_t due_ns)
{
    uint64_t ns = timeout_ns(p, due_ns);
    struct timespec timeout = {(time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S)};
    bool ends = due_ns != NEVER || p->at_once;
    if (ppoll(p->items, (nfds_t)p->count, ends ? &timeout : NULL, NULL) <= 0)
        return;
    for (int i = 0; i < p->count; i++)
        if (p->watches[i] && p->items[i].revents)
            p->watches[i]->look = true;
}
