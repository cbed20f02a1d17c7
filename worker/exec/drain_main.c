/* SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker/exec/drain.h"

enum { WORKER = 0, CHUNK = 64 << 10, EVENTS_MAX = 64 };

struct sump {
    int epoll;
    size_t pipes;
    uint32_t untold; /* that have ended, and the worker does not know */
    bool worker;     /* is there */
};

static int received_fd(struct msghdr *message)
{
    int fd = -1;
    struct cmsghdr *head = CMSG_FIRSTHDR(message);
    if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(head), sizeof fd);
    return fd;
}

static void sump_watch(struct sump *sump, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};
    if (epoll_ctl(sump->epoll, EPOLL_CTL_ADD, fd, &event) == 0)
        sump->pipes++;
    else
        close(fd);
}

/* One pipe a message; the end of the socket is the end of the worker. */
static void read_worker(struct sump *sump)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    uint8_t byte;
    struct iovec part = {&byte, sizeof byte};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control.room};
    ssize_t size = recvmsg(WORKER, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    int fd = size > 0 ? received_fd(&message) : -1;
    if (fd >= 0)
        sump_watch(sump, fd);
    if (size > 0 || (size < 0 && (errno == EAGAIN || errno == EINTR)))
        return;
    epoll_ctl(sump->epoll, EPOLL_CTL_DEL, WORKER, NULL);
    sump->worker = false;
}

static void drain_pipe(struct sump *sump, int fd)
{
    static uint8_t chunk[CHUNK];
    ssize_t size = read(fd, chunk, sizeof chunk);
    if (size > 0 || (size < 0 && (errno == EAGAIN || errno == EINTR)))
        return;
    epoll_ctl(sump->epoll, EPOLL_CTL_DEL, fd, NULL);
    close(fd);
    sump->pipes--;
    sump->untold++;
    if (send(WORKER, &sump->untold, sizeof sump->untold, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        sump->untold = 0; /* else with the next one: the worker reads only when it needs room */
}

int drain_main(void)
{
    close_range(WORKER + 1, ~0U, 0);
    struct sump sump = {.epoll = epoll_create1(EPOLL_CLOEXEC), .worker = true};
    struct epoll_event events[EVENTS_MAX] = {{.events = EPOLLIN, .data = {.fd = WORKER}}};
    if (sump.epoll < 0 || chdir("/") || epoll_ctl(sump.epoll, EPOLL_CTL_ADD, WORKER, &events[0]))
        return 255;
    while (sump.worker || sump.pipes) {
        int count = epoll_wait(sump.epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == WORKER)
                read_worker(&sump);
            else
                drain_pipe(&sump, events[i].data.fd);
        }
    }
    return 0;
}
