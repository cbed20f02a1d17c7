/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/exec/drain.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/xalloc.h"
#include "worker/exec/helper_process.h"

struct drain {
    const char *program;
    int socket; /* -1: there is no process */
    pid_t pid;
    size_t pipes; /* given, and not told to have ended */
};

struct drain *drain_new(const char *program)
{
    struct drain *drain = xcalloc(1, sizeof *drain);
    drain->program = program;
    drain->socket = -1;
    return drain;
}

static bool drain_start(struct drain *drain)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
        return false;
    char name[] = "zfarm-drain", flag[] = DRAIN_FLAG;
    char *argv[] = {name, flag, NULL};
    int error = helper_process_start(drain->program, argv, "drain", ends[1], &drain->pid);
    close(ends[1]);
    if (error) {
        drain->pid = 0;
        close(ends[0]);
        return false;
    }
    drain->socket = ends[0];
    drain->pipes = 0;
    return true;
}

/* Each message of the drain is how many more pipes have ended. */
static void read_ends(struct drain *drain)
{
    uint32_t ended;
    while (recv(drain->socket, &ended, sizeof ended, MSG_DONTWAIT) == sizeof ended)
        drain->pipes -= ended < drain->pipes ? ended : drain->pipes;
}

static bool drain_has_room(const struct drain *drain)
{
    struct rlimit files = {.rlim_cur = 0};
    getrlimit(RLIMIT_NOFILE, &files);
    return drain->pipes < DRAIN_PIPES_MAX && drain->pipes < files.rlim_cur / 4;
}

static bool drain_send(const struct drain *drain, int reader)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof reader)];
    } control = {0};
    uint8_t byte = 0;
    struct iovec part = {&byte, sizeof byte};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control.room};
    control.head.cmsg_level = SOL_SOCKET;
    control.head.cmsg_type = SCM_RIGHTS;
    control.head.cmsg_len = CMSG_LEN(sizeof reader);
    memcpy(CMSG_DATA(&control.head), &reader, sizeof reader);
    return sendmsg(drain->socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof byte;
}

bool drain_add(struct drain *drain, int reader)
{
    if (drain->socket < 0 && !drain_start(drain))
        return false;
    read_ends(drain);
    if (!drain_has_room(drain) || !drain_send(drain, reader))
        return false;
    drain->pipes++;
    return true;
}

pid_t drain_pid(const struct drain *drain)
{
    return drain->pid;
}

void drain_ended(struct drain *drain)
{
    if (drain->socket >= 0)
        close(drain->socket);
    drain->socket = -1;
    drain->pid = 0;
    drain->pipes = 0;
}

void drain_destroy(struct drain **handle)
{
    struct drain *drain = *handle;
    *handle = NULL;
    if (!drain)
        return;
    drain_ended(drain);
    free(drain);
}
