/* SPDX-License-Identifier: MPL-2.0 */
#include "common/net/events.h"

#include <assert.h>
#include <czmq.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>

#include "common/sys/shortage.h"

/* A name that was used before fails silently while its old owner still closes, so it is random. */
static void make_name(char *name, size_t size)
{
    uint64_t number;
    ssize_t got = getrandom(&number, sizeof number, 0);
    assert(got == (ssize_t)sizeof number);
    snprintf(name, size, "inproc://events-%016llx", (unsigned long long)number);
}

enum error net_events_open(void **events, void *socket, int kinds, struct why *why)
{
    char name[64];
    int unlimited = 0;
    make_name(name, sizeof name);
    *events = zsys_socket(ZMQ_PAIR, NULL, 0);
    if (*events && zmq_socket_monitor(socket, name, kinds) == 0) {
        zmq_setsockopt(*events, ZMQ_RCVHWM, &unlimited, sizeof unlimited);
        int rc = zmq_connect(*events, name);
        assert(rc == 0);
        return ERR_NONE;
    }
    int error = errno;
    if (*events)
        zsys_close(*events, NULL, 0);
    *events = NULL;
    return fail(why, ERR_LIMIT, "cannot watch a socket's connections: %s%s", zmq_strerror(error),
                shortage_advice(error));
}

bool net_events_next(void *events, struct net_event *event)
{
    uint8_t head[6]; /* number 2 and number 4, both in the machine's own order */
    uint16_t kind;
    uint32_t value;
    if (zmq_recv(events, head, sizeof head, ZMQ_DONTWAIT) != (int)sizeof head)
        return false;
    zmq_recv(events, NULL, 0,
             ZMQ_DONTWAIT); /* the endpoint, which says nothing that is not known */
    memcpy(&kind, head, sizeof kind);
    memcpy(&value, head + sizeof kind, sizeof value);
    *event = (struct net_event){.kind = kind, .value = (int)value};
    return true;
}

void net_events_close(void **events, void *socket)
{
    if (!*events)
        return;
    zmq_socket_monitor(socket, NULL, 0);
    zsys_close(*events, NULL, 0);
    *events = NULL;
}
