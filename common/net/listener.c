/* SPDX-License-Identifier: MPL-2.0 */
#include "common/net/listener.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/sys/shortage.h"

enum error listener_failed(const char *endpoint, int error, struct why *why)
{
    switch (error) {
    case EADDRINUSE:
        return fail(
            why, ERR_IN_USE,
            "cannot listen at %s: another program already does (\"ss -lxtp\" shows which); end "
            "it or choose another endpoint",
            endpoint);
    case EACCES:
    case EPERM:
        return fail(why, ERR_ACCESS,
                    "cannot listen at %s: permission denied; a port below 1024 needs root, a unix "
                    "socket a directory that you may write to",
                    endpoint);
    case EADDRNOTAVAIL:
    case ENODEV:
        return fail(
            why, ERR_NOT_FOUND,
            "cannot listen at %s: this machine has no such address (\"ip address\" shows what "
            "it has); tcp://*:PORT takes all of them",
            endpoint);
    default:
        return fail(why, shortage_error(TRIED_SOCKET, error), "cannot listen at %s: %s%s", endpoint,
                    strerror(error), shortage_advice(error));
    }
}

/* Binds a new socket; returns it listening, or -1 with errno. */
static int listen_at(const struct sockaddr *address, socklen_t size)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1, off = 0;
    if (fd < 0)
        return -1;
    if (address->sa_family != AF_UNIX)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address->sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, address, size) == 0 && listen(fd, SOMAXCONN) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static bool somebody_listens(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool refused = fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 &&
                   errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return !refused;
}

static int listen_unix(struct listener *listener, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct sockaddr *generic = (const struct sockaddr *)&address;
    strcpy(address.sun_path, path);
    int fd = listen_at(generic, sizeof address);
    if (fd < 0 && errno == EADDRINUSE) {
        if (somebody_listens(&address)) {
            errno = EADDRINUSE;
            return -1;
        }
        unlink(path);
        fd = listen_at(generic, sizeof address);
    }
    if (fd >= 0)
        strcpy(listener->path, path);
    return fd;
}

static int listen_any(uint16_t port)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = listen_at((const struct sockaddr *)&six, sizeof six);
    if (fd < 0 && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) /* a kernel without IPv6 */
        fd = listen_at((const struct sockaddr *)&four, sizeof four);
    return fd;
}

static int listen_tcp(const struct endpoint *endpoint)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found;
    char port[8];
    if (strcmp(endpoint->host, "*") == 0)
        return listen_any(endpoint->port);
    snprintf(port, sizeof port, "%u", (unsigned)endpoint->port);
    if (getaddrinfo(endpoint->host, port, &hints, &found) != 0) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    int fd = listen_at(found->ai_addr, found->ai_addrlen);
    int error = errno;
    freeaddrinfo(found);
    errno = error;
    return fd;
}

static uint16_t listener_port_of(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
    } address = {.any.sa_family = AF_UNSPEC};
    socklen_t size = sizeof address;
    int rc = getsockname(fd, &address.any, &size);
    assert(rc == 0); /* it is our own and bound */
    if (address.any.sa_family == AF_INET6)
        return ntohs(address.six.sin6_port);
    return ntohs(address.four.sin_port);
}

enum error listener_open(struct listener *listener, const char *text, struct why *why)
{
    struct endpoint endpoint;
    *listener = (struct listener){.fd = -1};
    enum error error = endpoint_parse(text, ENDPOINT_BIND, &endpoint, why);
    if (error)
        return error;
    listener->fd = endpoint.ipc ? listen_unix(listener, endpoint.path) : listen_tcp(&endpoint);
    if (listener->fd < 0)
        return listener_failed(text, errno, why);
    if (!endpoint.ipc)
        listener->port = listener_port_of(listener->fd);
    return ERR_NONE;
}

void listener_close(struct listener *listener)
{
    if (listener->fd >= 0)
        close(listener->fd);
    if (listener->path[0])
        unlink(listener->path);
    *listener = (struct listener){.fd = -1};
}
