/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/child.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "worker/guard.h"

enum {
    CHUNK = 64 << 10, /* a pipe's capacity */
    EVENTS_MAX = 64,
};

enum error children_open(struct children *children, const struct executor_options *options,
                         struct guard *guard, struct why *why)
{
    *children = (struct children){
        .limits = {.tmpdir = options->tmpdir, .output_max = options->output_max},
        .kill_after_ns = options->kill_after_ns,
        .guard = guard,
    };
    children->null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (children->null < 0)
        return fail(why, ERR_IO, "cannot open /dev/null: %s", strerror(errno));
    children->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (children->epoll < 0) {
        close(children->null);
        return fail(why, ERR_IO, "cannot make an epoll descriptor: %s", strerror(errno));
    }
    spawner_init(&children->spawner);
    children->chunk = xmalloc(CHUNK);
    return ERR_NONE;
}

void children_close(struct children *children)
{
    close(children->epoll);
    close(children->null);
    free(children->chunk);
}

int children_fd(const struct children *children)
{
    return children->epoll;
}

static void note_no_room(struct child *child, const struct why *why)
{
    char *line = xasprintf("zfarm: this task was killed, its output could not be kept in %s: %s\n",
                           child->children->limits.tmpdir, why->text);
    capture_note(&child->err.capture, bytes_of(line));
    free(line);
}

/* Reads once, `most` bytes at most. Returns how much it was. */
static size_t stream_read(struct child_stream *stream, size_t most)
{
    struct children *children = stream->child->children;
    ssize_t size = read(stream->reader, children->chunk, most < CHUNK ? most : CHUNK);
    if (size <= 0)
        return 0;
    if (stream->full)
        return (size_t)size;
    struct bytes bytes = {children->chunk, (size_t)size};
    struct why why;
    enum capture_state state = capture_add(&stream->capture, &children->limits, bytes, &why);
    if (state == CAPTURE_WHOLE)
        return (size_t)size;
    stream->full = true;
    if (state == CAPTURE_NO_ROOM)
        note_no_room(stream->child, &why);
    child_kill(stream->child, CHILD_TOO_MUCH_OUTPUT, clock_now_ns());
    return (size_t)size;
}

void children_turn(struct children *children)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(children->epoll, events, EVENTS_MAX, 0);
    for (int i = 0; i < count; i++)
        stream_read(events[i].data.ptr, CHUNK);
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void stream_init(struct child_stream *stream, struct child *child)
{
    stream->child = child;
    stream->reader = stream->writer = -1;
    capture_init(&stream->capture);
}

static void stream_close(struct child_stream *stream)
{
    close_fd(&stream->reader);
    close_fd(&stream->writer);
}

/* The reading end alone does not block: the child's own end must be as programs expect it. */
static int stream_open(struct child_stream *stream)
{
    stream->full = false;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC))
        return errno;
    stream->reader = ends[0];
    stream->writer = ends[1];
    if (fcntl(stream->reader, F_SETFL, O_NONBLOCK))
        return errno;
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = stream}};
    int epoll = stream->child->children->epoll;
    return epoll_ctl(epoll, EPOLL_CTL_ADD, stream->reader, &event) ? errno : 0;
}

void child_init(struct child *child, struct children *children)
{
    *child = (struct child){.children = children, .deadline_ns = NEVER};
    stream_init(&child->out, child);
    stream_init(&child->err, child);
}

/* A script without #! is one for the shell, as execvp has it. */
static int start_script(struct child *child, struct spawn *spawn)
{
    static char shell[] = "/bin/sh";
    size_t count = 0;
    while (spawn->argv[count])
        count++;
    char **argv = xcalloc(count + 2, sizeof *argv);
    argv[0] = shell;
    argv[1] = (char *)(uintptr_t)spawn->path;
    memcpy(argv + 2, spawn->argv + 1, count * sizeof *argv);
    spawn->path = shell;
    spawn->argv = argv;
    int error = spawner_start(&child->children->spawner, spawn, &child->pid);
    free(argv);
    return error;
}

static int start_program(struct child *child, const struct child_spec *spec)
{
    struct spawn spawn = {
        .path = spec->path,
        .argv = spec->argv,
        .environment = spec->environment,
        .fds = {spec->in < 0 ? child->children->null : spec->in,
                spec->out < 0 ? child->out.writer : spec->out,
                spec->err < 0 ? child->err.writer : spec->err, spec->extra},
        .fd_count = spec->extra < 0 ? 3 : 4,
    };
    int error = spawner_start(&child->children->spawner, &spawn, &child->pid);
    return error == ENOEXEC ? start_script(child, &spawn) : error;
}

int child_start(struct child *child, const struct child_spec *spec)
{
    assert(!child->pid);
    child_forget(child);
    child->killed = CHILD_NOT_KILLED;
    child->start_us = clock_realtime_us();
    child->started_ns = clock_now_ns();
    int error = spec->out < 0 ? stream_open(&child->out) : 0;
    if (!error && spec->err < 0)
        error = stream_open(&child->err);
    if (!error)
        error = start_program(child, spec);
    if (error) {
        stream_close(&child->out);
        stream_close(&child->err);
        return error;
    }
    child->deadline_ns = spec->timeout_ns ? child->started_ns + spec->timeout_ns : NEVER;
    if (child->children->guard)
        guard_add(child->children->guard, child->pid);
    return 0;
}

void child_limit(struct child *child, uint64_t timeout_ns)
{
    if (child->pid && !child->killed)
        child->deadline_ns = child->started_ns + timeout_ns;
}

void child_kill(struct child *child, enum child_kill reason, uint64_t now_ns)
{
    if (!child->pid || child->killed)
        return;
    child->killed = reason;
    kill(-child->pid, SIGTERM);
    child->deadline_ns = now_ns + child->children->kill_after_ns;
}

void child_turn(struct child *child, uint64_t now_ns)
{
    if (!child->pid || now_ns < child->deadline_ns)
        return;
    if (!child->killed) {
        child_kill(child, CHILD_TIMED_OUT, now_ns);
        return;
    }
    kill(-child->pid, SIGKILL);
    child->deadline_ns = NEVER;
}

/* A grandchild may write for ever: no more is taken than is there now. */
static void stream_drain(struct child_stream *stream)
{
    int left = 0;
    if (stream->reader >= 0 && ioctl(stream->reader, FIONREAD, &left))
        left = 0;
    while (left > 0) {
        size_t size = stream_read(stream, (size_t)left);
        left = size ? left - (int)size : 0;
    }
    stream_close(stream);
}

static void forget_pid(struct child *child)
{
    if (child->children->guard)
        guard_remove(child->children->guard, child->pid);
    child->pid = 0;
    child->deadline_ns = NEVER;
}

void child_exited(struct child *child)
{
    assert(child->pid);
    child->duration_ns = clock_now_ns() - child->started_ns;
    if (child->killed)
        kill(-child->pid, SIGKILL);
    stream_drain(&child->out);
    stream_drain(&child->err);
    forget_pid(child);
}

void child_forget(struct child *child)
{
    capture_reset(&child->out.capture);
    capture_reset(&child->err.capture);
}

void child_abandon(struct child *child)
{
    if (child->pid) {
        kill(-child->pid, SIGKILL);
        forget_pid(child);
    }
    stream_close(&child->out);
    stream_close(&child->err);
    capture_free(&child->out.capture);
    capture_free(&child->err.capture);
}

void child_await_end(pid_t pid, uint64_t until_ns)
{
    int end = pidfd_open(pid, 0);
    uint64_t now_ns = clock_now_ns();
    struct pollfd poll_end = {.fd = end, .events = POLLIN};
    if (end >= 0 && now_ns < until_ns)
        poll(&poll_end, 1, (int)((until_ns - now_ns) / NS_PER_MS) + 1);
    if (end >= 0)
        close(end);
}
