/* SPDX-License-Identifier: MPL-2.0 */
#include "common/net/zap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "common/net/net.h"
#include "common/base/xalloc.h"

#define ZAP_PLACE "inproc://zeromq.zap.01"

/* The frames of a request, and how much of each is looked at. */
enum {
    VERSION,
    REQUEST_ID,
    DOMAIN,
    ADDRESS,
    IDENTITY,
    MECHANISM,
    CREDENTIALS,
    FRAMES,
    FRAME_SIZE = 256
};

struct frame {
    char text[FRAME_SIZE]; /* ends with NUL */
    size_t size;
    bool cut;
};

struct zap {
    void *socket;
    struct watch watch;
    zap_decide_fn *decide;
    void *context;
};

enum error zap_new(struct zap **made, zap_decide_fn *decide, void *context, struct why *why)
{
    struct zap *zap = xcalloc(1, sizeof *zap);
    zap->decide = decide;
    zap->context = context;
    enum error error = net_open(&zap->socket, NET_ZAP, why);
    if (!error && zmq_bind(zap->socket, ZAP_PLACE))
        error = fail(why, ERR_IN_USE, "cannot ask for the keys of peers: %s", zmq_strerror(errno));
    if (error)
        zap_free(&zap);
    else
        zap->watch = watch_of(zap->socket);
    *made = zap;
    return error;
}

void zap_free(struct zap **pointer)
{
    struct zap *zap = *pointer;
    *pointer = NULL;
    if (!zap)
        return;
    /* A close is another thread's work: until that comes to it a handshake would ask the handler, and never be
     * answered. This takes away the place at once. */
    zmq_unbind(zap->socket, ZAP_PLACE);
    net_close(&zap->socket, 0);
    free(zap);
}

struct watch *zap_watch(struct zap *zap)
{
    return &zap->watch;
}

/* Reads a whole request; returns how many frames it has, 0 if there is none. */
static size_t receive(struct zap *zap, struct frame frames[static FRAMES])
{
    size_t count = 0;
    int more = 1;
    memset(frames, 0, FRAMES * sizeof *frames);
    for (size_t size = sizeof more; more; count++) {
        char text[FRAME_SIZE];
        int got = zmq_recv(zap->socket, text, FRAME_SIZE - 1, ZMQ_DONTWAIT);
        if (got < 0)
            return 0;
        if (count < FRAMES) {
            struct frame *frame = &frames[count];
            frame->cut = got > FRAME_SIZE - 1;
            frame->size = frame->cut ? FRAME_SIZE - 1 : (size_t)got;
            memcpy(frame->text, text, frame->size);
            frame->text[frame->size] = '\0';
        }
        zmq_getsockopt(zap->socket, ZMQ_RCVMORE, &more, &size);
    }
    return count;
}

static bool zap_admits(const struct zap *zap, struct frame frames[static FRAMES])
{
    struct zap_request request = {.domain = frames[DOMAIN].text};
    memcpy(request.key.octets, frames[CREDENTIALS].text, KEY_SIZE);
    request.address = net_plain_address(frames[ADDRESS].text);
    return zap->decide(zap->context, &request);
}

static bool is_curve(const struct frame frames[static FRAMES], size_t count)
{
    return count == FRAMES && strcmp(frames[MECHANISM].text, "CURVE") == 0 &&
           frames[CREDENTIALS].size == KEY_SIZE && !frames[DOMAIN].cut;
}

/* The user id of an answer comes with each message of the connection (net_receive_from). */
static void answer(struct zap *zap, struct frame frames[static FRAMES], bool admitted)
{
    char user[NET_USER_SIZE] = "";
    struct key key;
    memcpy(key.octets, frames[CREDENTIALS].text, KEY_SIZE);
    if (admitted)
        zmq_z85_encode(user, key.octets, KEY_SIZE);
    zmq_send(zap->socket, "1.0", 3, ZMQ_SNDMORE);
    zmq_send(zap->socket, frames[REQUEST_ID].text, frames[REQUEST_ID].size, ZMQ_SNDMORE);
    zmq_send(zap->socket, admitted ? "200" : "400", 3, ZMQ_SNDMORE);
    zmq_send(zap->socket, "", 0, ZMQ_SNDMORE);
    zmq_send(zap->socket, user, strlen(user), ZMQ_SNDMORE);
    zmq_send(zap->socket, "", 0, 0);
}

void zap_turn(struct zap *zap)
{
    if (!zap || !zap->watch.look)
        return;
    struct frame frames[FRAMES];
    for (size_t count; (count = receive(zap, frames)) > 0;)
        answer(zap, frames, is_curve(frames, count) && zap_admits(zap, frames));
    zap->watch.look = false;
}
