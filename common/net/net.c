/* SPDX-License-Identifier: MPL-2.0 */
#include "common/net/net.h"

#include <arpa/inet.h>
#include <assert.h>
#include <czmq.h>
#include <errno.h>
#include <malloc.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/net/listener.h"
#include "common/sys/shortage.h"
#include "common/base/xalloc.h"

enum {
    SOCKETS_MIN = 1024,
    SOCKETS_MAX = 65535, /* ZMQ_SOCKET_LIMIT of every build */
    HANDSHAKE_MS =
        30000, /* the connecting side is less patient, unless it knows that all are slow */
    RECONNECT_MS = 100,
    RECONNECT_MAX_MS = 2000,
    KEEPALIVE_S = 60, /* where no heartbeats judge, a dead machine is found after two minutes */
    KEEPALIVE_AGAIN_S = 10,
    KEEPALIVE_TIMES = 6,
    BACKLOG = 4096,      /* the kernel cuts it to its own limit */
    HWM = 1000,          /* messages; where the table says nothing else */
    CONTROL_RCVHWM = 8,  /* of a peer: more stays with it, since each may hold a receive buffer */
    CONTROL_SNDHWM = 32, /* for each peer; behind it is an outbox, whose bound is in bytes */
    RESULTS_HWM = 16,
    ZAP_MESSAGE_MAX = 4096,
    LANE_UPSTREAM_MAX = 4096, /* a worker sends nothing but its handshake on a lane */
    ZAP_ENFORCE_DOMAIN = 93,  /* ZMQ_ZAP_ENFORCE_DOMAIN, which zmq.h hides as a draft */
    LARGE_FRAME = 512 * 1024,
    COPY_BELOW = 8192, /* smaller ones are references into libzmq's receive buffer of that size */
};

struct option {
    int name;
    int value;
};

struct rules {
    int type;
    int64_t message_max;
    struct option options[9]; /* ends with name 0 */
};

/* No heartbeats, no TCP_MAXRT: both cut off a reader that merely pauses, and lose what was queued.
 * RCVHWM 0 where credit bounds what can come; a small mark where a pause must reach the sender. */
static const struct rules rules_of[] = {
    [NET_CONTROL_SERVER] = {ZMQ_ROUTER,
                            NET_MESSAGE_MAX,
                            {{ZMQ_ROUTER_MANDATORY, 1},
                             {ZMQ_SNDHWM, CONTROL_SNDHWM},
                             {ZMQ_RCVHWM, CONTROL_RCVHWM},
                             {ZMQ_BACKLOG, BACKLOG},
                             {ZMQ_TCP_KEEPALIVE, 1},
                             {ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_S},
                             {ZMQ_TCP_KEEPALIVE_INTVL, KEEPALIVE_AGAIN_S},
                             {ZMQ_TCP_KEEPALIVE_CNT, KEEPALIVE_TIMES}}},
    [NET_CONTROL_CLIENT] = {ZMQ_DEALER,
                            NET_MESSAGE_MAX,
                            {{ZMQ_SNDHWM, CONTROL_SNDHWM},
                             {ZMQ_RECONNECT_IVL, RECONNECT_MS},
                             {ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS}}},
    [NET_LANE_SENDER] = {ZMQ_PUSH,
                         LANE_UPSTREAM_MAX,
                         {{ZMQ_SNDHWM, 0}, {ZMQ_RCVHWM, 1}, {ZMQ_RECONNECT_IVL, -1}}},
    [NET_LANE_RECEIVER] = {ZMQ_PULL,
                           NET_MESSAGE_MAX,
                           {{ZMQ_RCVHWM, 0},
                            {ZMQ_RECONNECT_IVL, -1},
                            {ZMQ_TCP_KEEPALIVE, 1},
                            {ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_S}}},
    [NET_RESULTS_SENDER] = {ZMQ_PUSH,
                            NET_MESSAGE_MAX,
                            {{ZMQ_SNDHWM, RESULTS_HWM},
                             {ZMQ_IMMEDIATE, 0},
                             {ZMQ_RECONNECT_IVL, RECONNECT_MS},
                             {ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS},
                             {ZMQ_TCP_KEEPALIVE, 1},
                             {ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_S}}},
    [NET_RESULTS_RECEIVER] = {ZMQ_PULL,
                              NET_MESSAGE_MAX,
                              {{ZMQ_RCVHWM, RESULTS_HWM},
                               {ZMQ_BACKLOG, BACKLOG},
                               {ZMQ_TCP_KEEPALIVE, 1},
                               {ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_S}}},
    [NET_ZAP] = {ZMQ_REP, ZAP_MESSAGE_MAX, {{0, 0}}},
};

static size_t raise_descriptors(size_t wanted)
{
    struct rlimit limit;
    int rc = getrlimit(RLIMIT_NOFILE, &limit);
    assert(rc == 0);
    struct rlimit raised = limit;
    if (raised.rlim_cur < wanted)
        raised.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &raised) == 0 ? raised.rlim_cur : limit.rlim_cur;
}

/* libzmq's thread takes memory for each frame as its head announces it. From 512 KiB on that is given back
 * to the system with the frame, or what many peers once sent large frames for would stay ours. */
static void give_back_large_frames(void)
{
#ifdef M_MMAP_THRESHOLD
    mallopt(M_MMAP_THRESHOLD, LARGE_FRAME);
    mallopt(M_TRIM_THRESHOLD, 4 * LARGE_FRAME);
#endif
}

size_t net_start(size_t descriptors)
{
    zsys_handler_set(NULL);
    give_back_large_frames();
    size_t allowed = raise_descriptors(descriptors);
    size_t sockets = descriptors < SOCKETS_MIN ? SOCKETS_MIN : descriptors;
    zsys_set_max_sockets(sockets < SOCKETS_MAX ? sockets : SOCKETS_MAX);
    return allowed;
}

static void set_option(void *socket, int name, int value)
{
    int rc = zmq_setsockopt(socket, name, &value, sizeof value);
    assert(rc == 0);
}

enum error net_open(void **socket, enum net_role role, struct why *why)
{
    const struct rules *rules = &rules_of[role];
    *socket = zsys_socket(rules->type, NULL, 0);
    if (!*socket)
        return fail(why, ERR_LIMIT, "cannot make one more socket: %s%s", zmq_strerror(errno),
                    shortage_advice(errno));
    set_option(*socket, ZMQ_LINGER,
               0); /* said here because czmq's defaults can be set from outside */
    set_option(*socket, ZMQ_SNDHWM, HWM);
    set_option(*socket, ZMQ_RCVHWM, HWM);
    set_option(*socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
    int rc =
        zmq_setsockopt(*socket, ZMQ_MAXMSGSIZE, &rules->message_max, sizeof rules->message_max);
    assert(rc == 0);
    for (const struct option *option = rules->options; option->name; option++)
        set_option(*socket, option->name, option->value);
    return ERR_NONE;
}

static void set_octets(void *socket, int name, const void *octets, size_t size)
{
    int rc = zmq_setsockopt(socket, name, octets, size);
    assert(rc == 0); /* keys_load has seen that this libzmq has CURVE */
}

void net_serve_keys(void *socket, const struct key_pair *own, const char *domain)
{
    set_option(socket, ZMQ_CURVE_SERVER, 1);
    set_octets(socket, ZMQ_CURVE_SECRETKEY, own->secret.octets, KEY_SIZE);
    set_octets(socket, ZMQ_ZAP_DOMAIN, domain, strlen(domain));
    set_option(socket, ZAP_ENFORCE_DOMAIN, 1); /* czmq's own setter of it does nothing */
}

void net_call_keys(void *socket, const struct key_pair *own, const struct key *server)
{
    set_octets(socket, ZMQ_CURVE_SERVERKEY, server->octets, KEY_SIZE);
    set_octets(socket, ZMQ_CURVE_PUBLICKEY, own->public.octets, KEY_SIZE);
    set_octets(socket, ZMQ_CURVE_SECRETKEY, own->secret.octets, KEY_SIZE);
}

/* With IPv6 on, libzmq writes IPv4 addresses in IPv6 form and prefers the IPv6 address of an
 * interface: so it is on only where it is asked for. `*` is both. */
static bool binds_ipv6(const struct endpoint *endpoint)
{
    return strcmp(endpoint->host, "*") == 0 || strchr(endpoint->host, ':');
}

/* A name may have an IPv6 address alone. */
static bool connects_ipv6(const struct endpoint *endpoint)
{
    struct in_addr ignored;
    return !endpoint->ipc && inet_pton(AF_INET, endpoint->host, &ignored) != 1;
}

/* libzmq binds to addresses and interfaces only: a name becomes an address here. What cannot be
 * looked up stays as it is, it may be an interface. */
static void look_up_host(struct endpoint *endpoint)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    if (endpoint->ipc || strcmp(endpoint->host, "*") == 0)
        return;
    if (getaddrinfo(endpoint->host, NULL, &hints, &found) != 0)
        return;
    getnameinfo(found->ai_addr, found->ai_addrlen, endpoint->host, sizeof endpoint->host, NULL, 0,
                NI_NUMERICHOST);
    freeaddrinfo(found);
}

enum error net_bind(void *socket, const char *text, struct why *why)
{
    struct endpoint endpoint;
    char resolved[ENDPOINT_TEXT_SIZE];
    enum error error = endpoint_parse(text, ENDPOINT_BIND, &endpoint, why);
    if (error)
        return error;
    look_up_host(&endpoint);
    endpoint_format(&endpoint, resolved);
    set_option(socket, ZMQ_IPV6, binds_ipv6(&endpoint));
    if (zmq_bind(socket, resolved) != 0)
        return listener_failed(text, errno, why);
    return ERR_NONE;
}

void net_bound(void *socket, char endpoint[static ENDPOINT_TEXT_SIZE])
{
    size_t size = ENDPOINT_TEXT_SIZE;
    int rc = zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &size);
    assert(rc == 0);
}

enum error net_connect(void *socket, const char *text, struct why *why)
{
    struct endpoint endpoint;
    char address[ENDPOINT_TEXT_SIZE];
    enum error error = endpoint_parse(text, ENDPOINT_CONNECT, &endpoint, why);
    if (error)
        return error;
    endpoint_format(&endpoint, address);
    set_option(socket, ZMQ_IPV6, connects_ipv6(&endpoint));
    if (zmq_connect(socket, address) != 0)
        return fail(
            why, shortage_cause(TRIED_SOCKET, errno) == CAUSE_PASSES ? ERR_LIMIT : ERR_INVALID,
            "cannot connect to %s: %s%s", text, zmq_strerror(errno), shortage_advice(errno));
    return ERR_NONE;
}

static void free_frame(void *frame)
{
    zmq_msg_close(frame);
    free(frame);
}

/* Moves what is in `frame` into a block. Small messages pin a receive buffer each: they are copied.
 */
static struct block *block_of(zmq_msg_t *frame)
{
    struct bytes content = {zmq_msg_data(frame), zmq_msg_size(frame)};
    if (content.size < COPY_BELOW) {
        struct block *copy = block_copy(content);
        zmq_msg_close(frame);
        return copy;
    }
    zmq_msg_t *kept = xmalloc(sizeof *kept);
    zmq_msg_init(kept);
    zmq_msg_move(kept, frame);
    content.data = zmq_msg_data(kept);
    return block_adopt(content, free_frame, kept);
}

/* Reads a whole message; false if there is none. `frame` gets its first frame, or nothing if there
 * are more. libzmq hands over whole messages only, so what follows the first frame is there. */
static bool receive_single(void *socket, zmq_msg_t *frame)
{
    zmq_msg_init(frame);
    if (zmq_msg_recv(frame, socket, ZMQ_DONTWAIT) < 0)
        return false;
    bool single = !zmq_msg_more(frame);
    for (bool more = !single; more; more = zmq_msg_more(frame))
        zmq_msg_recv(frame, socket, ZMQ_DONTWAIT);
    if (!single) {
        zmq_msg_close(frame);
        zmq_msg_init(frame);
    }
    return true;
}

struct block *net_receive(void *socket)
{
    zmq_msg_t frame;
    return receive_single(socket, &frame) ? block_of(&frame) : NULL;
}

bool net_has_room(void *socket)
{
    int events = 0;
    zmq_getsockopt(socket, ZMQ_EVENTS, &events, &(size_t){sizeof events});
    return events & ZMQ_POLLOUT;
}

enum {
    ROUTING_ID_SIZE = 5
}; /* one byte 0, then a number: what libzmq gives to a peer without an identity */

static void routing_id_put(uint8_t id[ROUTING_ID_SIZE], uint32_t peer)
{
    uint32_t network = htonl(peer);
    id[0] = 0;
    memcpy(id + 1, &network, sizeof network);
}

static bool routing_id_get(zmq_msg_t *id, uint32_t *peer)
{
    const uint8_t *bytes = zmq_msg_data(id);
    uint32_t network;
    if (zmq_msg_size(id) != ROUTING_ID_SIZE || bytes[0] != 0)
        return false;
    memcpy(&network, bytes + 1, sizeof network);
    *peer = ntohl(network);
    return true;
}

const char *net_plain_address(const char *address)
{
    static const char mapped[] = "::ffff:"; /* an IPv4 address in IPv6 form */
    if (strncmp(address, "localhost:", strlen("localhost:")) == 0)
        return "";
    return strncmp(address, mapped, strlen(mapped)) == 0 ? address + strlen(mapped) : address;
}

/* What libzmq knows of the connection that a frame came through. */
static void describe_sender(struct net_sender *sender, zmq_msg_t *frame)
{
    const char *address = zmq_msg_gets(frame, "Peer-Address");
    const char *user = zmq_msg_gets(frame, "User-Id");
    sender->descriptor = zmq_msg_get(frame, ZMQ_SRCFD);
    if (user && strlen(user) == NET_USER_SIZE - 1)
        zmq_z85_decode(sender->key.octets, user);
    if (address)
        snprintf(sender->address, sizeof sender->address, "%s", net_plain_address(address));
}

struct block *net_receive_from(void *router, struct net_sender *sender)
{
    zmq_msg_t id, body;
    *sender = (struct net_sender){.descriptor = -1};
    zmq_msg_init(&id);
    if (zmq_msg_recv(&id, router, ZMQ_DONTWAIT) < 0)
        return NULL;
    bool ours = routing_id_get(&id, &sender->peer);
    zmq_msg_close(&id);
    if (!receive_single(router, &body) || !ours) {
        zmq_msg_close(&body);
        return block_copy((struct bytes){0});
    }
    describe_sender(sender, &body);
    return block_of(&body);
}

struct block *net_receive_signed(void *pull, struct net_sender *sender)
{
    zmq_msg_t frame;
    *sender = (struct net_sender){.descriptor = -1};
    if (!receive_single(pull, &frame))
        return NULL;
    describe_sender(sender, &frame);
    return block_of(&frame);
}

void net_cut(const struct net_sender *sender)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    char host[64];
    if (sender->descriptor < 0 ||
        getpeername(sender->descriptor, (struct sockaddr *)&address, &size) != 0 ||
        address.ss_family == AF_UNIX ||
        getnameinfo((struct sockaddr *)&address, size, host, sizeof host, NULL, 0,
                    NI_NUMERICHOST) != 0)
        return;
    if (strcmp(net_plain_address(host), sender->address) == 0)
        shutdown(sender->descriptor, SHUT_RDWR);
}

static unsigned net_port_of(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)address)->sin_port);
    return address->ss_family == AF_INET6 ? ntohs(((const struct sockaddr_in6 *)address)->sin6_port)
                                          : 0;
}

void net_cut_descriptor(void *socket, int descriptor)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    char text[ENDPOINT_TEXT_SIZE];
    struct endpoint bound;
    net_bound(socket, text);
    if (endpoint_parse(text, ENDPOINT_BIND, &bound, NULL) == ERR_NONE && bound.port &&
        getsockname(descriptor, (struct sockaddr *)&address, &size) == 0 &&
        net_port_of(&address) == bound.port)
        shutdown(descriptor, SHUT_RDWR);
}

enum error net_send(void *socket, struct block *message)
{
    struct bytes content = block_bytes(message);
    zmq_msg_t frame;
    int rc = zmq_msg_init_data(&frame, (void *)content.data, content.size, block_release_message,
                               block_hold(message));
    assert(rc == 0);
    if (zmq_msg_send(&frame, socket, ZMQ_DONTWAIT) >= 0)
        return ERR_NONE;
    enum error error = errno == EAGAIN ? ERR_LIMIT : ERR_CLOSED;
    zmq_msg_close(&frame);
    return error;
}

enum error net_send_to(void *router, uint32_t peer, struct block *message)
{
    uint8_t id[ROUTING_ID_SIZE];
    routing_id_put(id, peer);
    if (zmq_send(router, id, sizeof id, ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0)
        return errno == EAGAIN ? ERR_LIMIT : ERR_CLOSED;
    return net_send(router, message);
}

void net_close(void **socket, int linger_ms)
{
    if (!*socket)
        return;
    set_option(*socket, ZMQ_LINGER, linger_ms);
    zsys_close(*socket, NULL, 0);
    *socket = NULL;
}

static void end_process(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    _exit(info->si_value.sival_int);
}

static timer_t start_watchdog(unsigned limit_ms, int status)
{
    struct sigaction action = {.sa_sigaction = end_process, .sa_flags = SA_SIGINFO};
    struct sigevent event = {
        .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM, .sigev_value.sival_int = status};
    struct itimerspec limit = {.it_value = {.tv_sec = (time_t)(limit_ms / 1000),
                                            .tv_nsec = (long)(limit_ms % 1000) * 1000000}};
    sigset_t alarm_only;
    timer_t timer;
    sigaction(SIGALRM, &action, NULL);
    sigemptyset(&alarm_only);
    sigaddset(&alarm_only, SIGALRM);
    pthread_sigmask(SIG_UNBLOCK, &alarm_only, NULL);
    int rc = timer_create(CLOCK_MONOTONIC, &event, &timer);
    assert(rc == 0);
    timer_settime(timer, 0, &limit, NULL);
    return timer;
}

void net_end(unsigned limit_ms, int status)
{
    timer_t watchdog = start_watchdog(limit_ms, status);
    zsys_shutdown();
    timer_delete(watchdog);
}
