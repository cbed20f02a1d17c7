/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/gate/lane.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/net/net.h"
#include "common/sys/shortage.h"
#include "common/base/xalloc.h"
#include "ventilator/gate/gate.h"

enum {
    KEEPALIVE_S = 60,
    CHUNKS_A_TURN = 4, /* so that one fast lane does not hold up the others */
};

static void describe_peer(struct lane *lane)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    char host[48] = "", port[8] = "";
    if (getpeername(lane->worker.fd, (struct sockaddr *)&address, &size) != 0)
        return;
    if (address.ss_family == AF_UNIX) {
        struct ucred peer = {0};
        size = sizeof peer;
        getsockopt(lane->worker.fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
        snprintf(lane->peer, sizeof lane->peer, "process %ld", (long)peer.pid);
        return;
    }
    getnameinfo((struct sockaddr *)&address, size, host, sizeof host, port, sizeof port,
                NI_NUMERICHOST | NI_NUMERICSERV);
    const char *plain = strncmp(host, "::ffff:", 7) == 0 ? host + 7 : host;
    snprintf(lane->peer, sizeof lane->peer, strchr(plain, ':') ? "[%s]:%s" : "%s:%s", plain, port);
}

static void set_flag(int fd, int level, int option, int value)
{
    setsockopt(fd, level, option, &value, sizeof value); /* a unix socket has none of these */
}

static bool lane_watch(struct lane_end *end, int operation, uint32_t interest)
{
    struct epoll_event event = {.events = interest, .data.ptr = end};
    end->interest = interest;
    return epoll_ctl(end->lane->epoll, operation, end->fd, &event) == 0;
}

static bool listen_for_push(struct lane *lane, const char *private_dir)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int size = snprintf(lane->path, sizeof lane->path, "%s/lane-%llu", private_dir,
                        (unsigned long long)lane->id);
    assert(size > 0 && (size_t)size < sizeof lane->path); /* gate_new checked the directory */
    strcpy(address.sun_path, lane->path);
    lane->inner.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return lane->inner.fd >= 0 &&
           bind(lane->inner.fd, (struct sockaddr *)&address, sizeof address) == 0 &&
           listen(lane->inner.fd, 1) == 0 && lane_watch(&lane->inner, EPOLL_CTL_ADD, EPOLLIN);
}

/* Though it connects, it is the server of the handshake. */
static bool connect_push(struct lane *lane, const struct key_pair *own, struct why *why)
{
    char endpoint[ENDPOINT_TEXT_SIZE], domain[32];
    snprintf(endpoint, sizeof endpoint, "ipc://%s", lane->path);
    snprintf(domain, sizeof domain, GATE_DOMAIN "%llu", (unsigned long long)lane->id);
    if (net_open(&lane->push, NET_LANE_SENDER, why))
        return false;
    if (own)
        net_serve_keys(lane->push, own, domain);
    return net_connect(lane->push, endpoint, why) == ERR_NONE;
}

struct lane *lane_open(uint64_t id, int fd, int epoll, const char *private_dir,
                       const struct key_pair *own, struct why *why)
{
    struct lane *lane = xcalloc(1, sizeof *lane);
    lane->id = id;
    lane->epoll = epoll;
    lane->worker = (struct lane_end){.lane = lane, .fd = fd};
    lane->inner = (struct lane_end){.lane = lane, .fd = -1};
    ssize_t got = getrandom(&lane->token, sizeof lane->token, 0);
    assert(got == (ssize_t)sizeof lane->token);
    describe_peer(lane);
    set_flag(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_flag(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_flag(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_S);
    bool listens =
        lane_watch(&lane->worker, EPOLL_CTL_ADD, EPOLLRDHUP) && listen_for_push(lane, private_dir);
    if (!listens)
        shortage_fail(why, TRIED_SOCKET, errno);
    else if (connect_push(lane, own, why))
        return lane;
    lane_shut(lane);
    lane_free(lane);
    return NULL;
}

static void close_listener(struct lane *lane)
{
    if (lane->path[0])
        unlink(lane->path);
    lane->path[0] = '\0';
    if (lane->inner.fd >= 0)
        close(lane->inner.fd);
    lane->inner.fd = -1;
}

/* The PUSH has come: its connection takes the listener's place. */
static bool join_ends(struct lane *lane, struct why *why)
{
    int fd = accept4(lane->inner.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return errno == EAGAIN || !shortage_fail(why, TRIED_SOCKET, errno);
    close_listener(lane);
    lane->inner.fd = fd;
    lane->joined = true;
    return lane_watch(&lane->inner, EPOLL_CTL_ADD, EPOLLRDHUP | EPOLLIN) &&
           lane_watch(&lane->worker, EPOLL_CTL_MOD, EPOLLRDHUP | EPOLLIN);
}

/* Writes what it can; returns how much, or -1 if the connection is gone. */
static ssize_t write_some(int fd, const uint8_t *data, size_t size)
{
    ssize_t sent = send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent < 0 && errno == EAGAIN ? 0 : sent;
}

static bool write_held(struct lane_end *end)
{
    if (end->held.size == 0)
        return true;
    ssize_t sent = write_some(end->fd, end->held.data, end->held.size);
    if (sent < 0)
        return false;
    buf_drop_front(&end->held, (size_t)sent);
    if (end->held.size == 0)
        buf_free(&end->held); /* a thousand lanes that stalled once must not keep a chunk each */
    return true;
}

/* Moves what is there, until one of them has nothing or takes nothing. False: one of them is gone.
 */
static bool move(struct lane_end *from, struct lane_end *to, uint8_t *chunk)
{
    if (!write_held(to))
        return false;
    for (int i = 0; i < CHUNKS_A_TURN && to->held.size == 0; i++) {
        ssize_t got = recv(from->fd, chunk, LANE_CHUNK_BYTES, MSG_DONTWAIT);
        if (got <= 0)
            return got < 0 && errno == EAGAIN;
        ssize_t sent = write_some(to->fd, chunk, (size_t)got);
        if (sent < 0)
            return false;
        buf_put(&to->held, chunk + sent, (size_t)(got - sent));
        if (got < LANE_CHUNK_BYTES / 2)
            break;
    }
    return true;
}

static bool update_interest(struct lane_end *end, const struct lane_end *other)
{
    uint32_t interest = EPOLLRDHUP;
    if (other->held.size == 0)
        interest |= EPOLLIN;
    if (end->held.size > 0)
        interest |= EPOLLOUT;
    return interest == end->interest || lane_watch(end, EPOLL_CTL_MOD, interest);
}

bool lane_turn(struct lane_end *end, uint32_t events, uint8_t *chunk, struct why *why)
{
    struct lane *lane = end->lane;
    bool over = events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
    if (!lane->joined)
        return !over && join_ends(lane, why);
    struct lane_end *other = end == &lane->worker ? &lane->inner : &lane->worker;
    /* An end that closed may have said why just before: that is passed on. */
    if (events & EPOLLIN && !move(end, other, chunk))
        return false;
    if (events & EPOLLOUT && !move(other, end, chunk))
        return false;
    return !over && update_interest(end, other) && update_interest(other, end);
}

void lane_shut(struct lane *lane)
{
    lane->shut = true;
    net_close(&lane->push, 0);
    close_listener(lane); /* or the PUSH's connection */
    close(lane->worker.fd);
    lane->worker.fd = -1;
    buf_free(&lane->worker.held);
    buf_free(&lane->inner.held);
}

void lane_free(struct lane *lane)
{
    assert(lane->shut);
    free(lane);
}
