/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/exec/child.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/sys/fd.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/xalloc.h"
#include "worker/exec/drain.h"
#include "worker/exec/guard.h"

enum {
    EVENTS_MAX = 64,
    FINISH_READS_MAX = 20, /* more than the largest pipe (1 MiB) holds */
};

/* How often it is looked for who holds the output of a child that lingers. */
#define HOLDER_LOOK_NS (500 * NS_PER_MS)
/* Another child that is just being started has our descriptors, the writing ends of pipes among them, until its
 * program is loaded: so long is waited at least, or tasks that leave nobody behind would seem to be cut. */
#define STARTING_NS (50 * NS_PER_MS)
/* A child whose output can be given to nobody tries again after that. */
#define NO_ROOM_NS (1 * NS_PER_S)

enum error children_open(struct children *children, const struct executor_options *options,
                         struct why *why)
{
    *children = (struct children){
        .limits = {.tmpdir = options->tmpdir, .output_max = options->output_max},
        .kill_after_ns = options->kill_after_ns,
        .linger_ns = options->linger_ns,
        .guard = options->guard,
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
    children->chunk = xmalloc(CHILD_CHUNK);
    return ERR_NONE;
}

void children_close(struct children *children)
{
    close(children->epoll);
    close(children->null);
    processes_free(&children->processes);
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

static void stream_keep(struct child_stream *stream, struct bytes bytes)
{
    struct why why;
    enum capture_state state =
        capture_add(&stream->capture, &stream->child->children->limits, bytes, &why);
    if (state == CAPTURE_WHOLE)
        return;
    stream->full = true;
    if (state == CAPTURE_NO_ROOM)
        note_no_room(stream->child, &why);
    child_kill(stream->child, CHILD_TOO_MUCH_OUTPUT, clock_now_ns());
}

/* Reads once. Returns whether something came; at the end of the stream its reader is closed. */
static bool stream_read(struct child_stream *stream)
{
    struct children *children = stream->child->children;
    ssize_t size = read(stream->reader, children->chunk, CHILD_CHUNK);
    if (size > 0 && !stream->full)
        stream_keep(stream, (struct bytes){children->chunk, (size_t)size});
    if (size == 0)
        fd_close(&stream->reader);
    return size > 0;
}

static bool is_at_end(const struct child *child)
{
    return child->out.reader < 0 && child->err.reader < 0;
}

void children_turn(struct children *children, uint64_t now_ns)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(children->epoll, events, EVENTS_MAX, 0);
    for (int i = 0; i < count; i++) {
        struct child_watch *watch = events[i].data.ptr;
        watch->ready(watch, events[i].events, now_ns);
    }
}

static void stream_ready(struct child_watch *watch, uint32_t events, uint64_t now_ns)
{
    (void)events, (void)now_ns;
    struct child_stream *stream = (struct child_stream *)watch;
    if (stream->reader >= 0)
        stream_read(stream);
    if (stream->child->lingers && is_at_end(stream->child))
        stream->child->deadline_ns = 0;
}

static void stream_init(struct child_stream *stream, struct child *child)
{
    stream->watch.ready = stream_ready;
    stream->child = child;
    stream->reader = stream->writer = -1;
    capture_init(&stream->capture);
}

static void stream_close(struct child_stream *stream)
{
    fd_close(&stream->reader);
    fd_close(&stream->writer);
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
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = &stream->watch}};
    int epoll = stream->child->children->epoll;
    return epoll_ctl(epoll, EPOLL_CTL_ADD, stream->reader, &event) ? errno : 0;
}

void child_init(struct child *child, struct children *children)
{
    *child = (struct child){.children = children, .next = children->first, .deadline_ns = NEVER};
    children->first = child;
    stream_init(&child->out, child);
    stream_init(&child->err, child);
}

/* When child_turn is due. */
static void plan(struct child *child)
{
    uint64_t due_ns = child->killed ? child->kill_ns : NEVER;
    if (child->lingers && !child->killed && child->until_ns < due_ns)
        due_ns = child->until_ns;
    if (child->lingers && child->look_ns < due_ns)
        due_ns = child->look_ns;
    if (child->lingers && is_at_end(child))
        due_ns = 0;
    bool idle = !child->pid && !child->lingers;
    child->deadline_ns = idle || child->children->held_ns ? NEVER : due_ns;
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

static int child_start_program(struct child *child, const struct child_spec *spec)
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
    assert(!child->pid && !child->lingers);
    child_forget(child);
    child->killed = CHILD_NOT_KILLED;
    child->cut = child->stopped = false;
    child->start_us = clock_realtime_us();
    child->started_ns = clock_now_ns();
    int error = spec->out < 0 ? stream_open(&child->out) : 0;
    if (!error && spec->err < 0)
        error = stream_open(&child->err);
    if (!error)
        error = child_start_program(child, spec);
    if (error) {
        stream_close(&child->out);
        stream_close(&child->err);
        return error;
    }
    child->kill_ns = NEVER;
    plan(child);
    if (child->children->guard)
        guard_add(child->children->guard, child->pid);
    return 0;
}

/* ---- signals ---- */

static ino_t pipe_of(int reader)
{
    struct stat status;
    return reader >= 0 && fstat(reader, &status) == 0 ? status.st_ino : 0;
}

static const char *mark_of(const struct child *child)
{
    struct guard *guard = child->children->guard;
    return guard ? guard_mark(guard) : NULL;
}

/* To all that belongs to the child: as long as its process is there, by descent; then whatever is left
 * of its session and each process that holds its output. */
static void signal_all(struct child *child, int number, uint64_t now_ns)
{
    struct processes *processes = &child->children->processes;
    const ino_t pipes[] = {child->out.pipe, child->err.pipe};
    if (child->pid) {
        processes_signal(processes, child->pid, number, now_ns);
    } else {
        processes_signal_rest(processes, child->leader, mark_of(child), number, now_ns);
        processes_signal_holders(processes, pipes, number, now_ns);
    }
}

/* A stopped process takes TERM when it goes on. */
void child_kill(struct child *child, enum child_kill reason, uint64_t now_ns)
{
    if ((!child->pid && !child->lingers) || child->killed)
        return;
    child->killed = reason;
    signal_all(child, SIGTERM, now_ns);
    signal_all(child, SIGCONT, now_ns);
    child->kill_ns = now_ns + child->children->kill_after_ns;
    plan(child);
    if (child->lingers && reason == CHILD_CANCELLED)
        child->deadline_ns = 0;
}

void child_hurry(struct child *child)
{
    if (!child->killed || (!child->pid && !child->lingers))
        return;
    child->kill_ns = 0;
    plan(child);
}

void child_kill_now(struct child *child, enum child_kill reason, uint64_t now_ns)
{
    child->killed = reason;
    if (child->pid || child->lingers)
        signal_all(child, SIGKILL, now_ns);
}

void child_kill_left(struct child *child, int reader, enum child_kill reason, uint64_t now_ns)
{
    child->killed = reason;
    const ino_t pipes[] = {pipe_of(reader), 0};
    struct processes *processes = &child->children->processes;
    processes_signal_rest(processes, child->leader, mark_of(child), SIGKILL, now_ns);
    processes_signal_holders(processes, pipes, SIGKILL, now_ns);
}

bool child_note_stopped(struct child *child, bool stopped)
{
    bool news = child->stopped != stopped;
    child->stopped = stopped;
    return news;
}

void children_hold(struct children *children, uint64_t now_ns)
{
    if (children->held_ns)
        return;
    children->held_ns = now_ns;
    for (struct child *child = children->first; child; child = child->next) {
        if (child->pid || child->lingers)
            signal_all(child, SIGSTOP, now_ns);
        plan(child);
    }
}

static void put_off(uint64_t *due_ns, uint64_t by_ns)
{
    if (*due_ns != NEVER)
        *due_ns += by_ns;
}

/* What was started meanwhile has not waited for so long. */
static void put_all_off(struct child *child, uint64_t held_ns, uint64_t now_ns)
{
    uint64_t from_ns = child->started_ns > held_ns ? child->started_ns : held_ns;
    uint64_t by_ns = now_ns > from_ns ? now_ns - from_ns : 0;
    child->started_ns += by_ns;
    put_off(&child->kill_ns, by_ns);
    put_off(&child->until_ns, by_ns);
}

void children_go(struct children *children, uint64_t now_ns)
{
    uint64_t held_ns = children->held_ns;
    if (!held_ns)
        return;
    children->held_ns = 0;
    for (struct child *child = children->first; child; child = child->next) {
        if (!child->pid && !child->lingers)
            continue;
        put_all_off(child, held_ns, now_ns);
        signal_all(child, SIGCONT, now_ns);
        plan(child);
    }
}

/* ---- the end ---- */

/* What the drain got stays open there: here it is watched no more. */
static bool child_give_to_drain(struct child *child, int *reader)
{
    struct children *children = child->children;
    if (*reader < 0)
        return true;
    if (!children->guard || !drain_add(guard_drain(children->guard), *reader))
        return false;
    epoll_ctl(children->epoll, EPOLL_CTL_DEL, *reader, NULL);
    fd_close(reader);
    return true;
}

void child_let_go(struct child *child, int reader)
{
    if (!child_give_to_drain(child, &reader))
        fd_close(&reader);
}

static void say_no_room(struct children *children)
{
    if (!children->told)
        log_line(
            "too many pipes are held by what ended tasks left running (at most %d, and a quarter "
            "of ulimit -n): each further slot waits until one is let go",
            DRAIN_PIPES_MAX);
    children->told = true;
}

static enum child_news linger_ends(struct child *child)
{
    stream_close(&child->out);
    stream_close(&child->err);
    child->lingers = false;
    child->deadline_ns = NEVER;
    return CHILD_ENDED;
}

/* Who holds the output is looked for at times that all children share, since one look serves them. */
static uint64_t next_look(uint64_t now_ns)
{
    return (now_ns / HOLDER_LOOK_NS + 2) * HOLDER_LOOK_NS;
}

static bool find_holder(struct child *child, uint64_t now_ns)
{
    const ino_t pipes[] = {child->out.pipe, child->err.pipe};
    struct output_holder holder = processes_find_holder(&child->children->processes, pipes, now_ns);
    bool other = holder.pid != child->holder.pid;
    child->holder = holder;
    child->look_ns = next_look(now_ns);
    return other;
}

struct output_holder child_find_holder(struct child *child, int reader, uint64_t now_ns)
{
    const ino_t pipes[] = {pipe_of(reader), 0};
    return processes_find_holder(&child->children->processes, pipes, now_ns);
}

/* The linger is over, and the output still held. */
static enum child_news linger_cut(struct child *child, uint64_t now_ns)
{
    bool other = find_holder(child, now_ns);
    if (child_give_to_drain(child, &child->out.reader) &&
        child_give_to_drain(child, &child->err.reader)) {
        child->cut = true;
        return linger_ends(child);
    }
    if (!child->children->guard) {
        child->cut = true;
        return linger_ends(child);
    }
    say_no_room(child->children);
    child->until_ns = now_ns + NO_ROOM_NS;
    plan(child);
    return other ? CHILD_HELD : CHILD_NO_NEWS;
}

/* What was killed and holds the output all the same is left to itself. */
static enum child_news linger_killed(struct child *child, uint64_t now_ns)
{
    if (child->killed != CHILD_CANCELLED)
        signal_all(child, SIGKILL, now_ns);
    child_give_to_drain(child, &child->out.reader);
    child_give_to_drain(child, &child->err.reader);
    return linger_ends(child);
}

static enum child_news linger_turn(struct child *child, uint64_t now_ns)
{
    bool other = false;
    if (is_at_end(child))
        return linger_ends(child);
    if (child->killed == CHILD_CANCELLED || (child->killed && now_ns >= child->kill_ns))
        return linger_killed(child, now_ns);
    if (!child->killed && now_ns >= child->until_ns)
        return linger_cut(child, now_ns);
    if (now_ns >= child->look_ns)
        other = find_holder(child, now_ns);
    plan(child);
    return other ? CHILD_HELD : CHILD_NO_NEWS;
}

enum child_news child_turn(struct child *child, uint64_t now_ns)
{
    if (now_ns < child->deadline_ns)
        return CHILD_NO_NEWS;
    if (!child->pid)
        return linger_turn(child, now_ns);
    signal_all(child, SIGKILL, now_ns);
    child->kill_ns = NEVER;
    plan(child);
    return CHILD_NO_NEWS;
}

/* Nobody here can write there any more, so the read that finds nothing finds the end, unless another
 * process holds it. Who writes without end is read on in the turns. */
static void stream_finish(struct child_stream *stream)
{
    fd_close(&stream->writer);
    for (int reads = 0; reads < FINISH_READS_MAX && stream->reader >= 0; reads++)
        if (!stream_read(stream))
            return;
}

static void linger_begins(struct child *child, uint64_t now_ns)
{
    child->out.pipe = pipe_of(child->out.reader);
    child->err.pipe = pipe_of(child->err.reader);
    child->holder = (struct output_holder){0};
    child->look_ns = next_look(now_ns);
    uint64_t linger_ns = child->children->linger_ns;
    child->until_ns = now_ns + (linger_ns > STARTING_NS ? linger_ns : STARTING_NS);
    plan(child);
}

static void forget_pid(struct child *child)
{
    if (child->children->guard)
        guard_remove(child->children->guard, child->pid);
    child->leader = child->pid;
    child->pid = 0;
    child->deadline_ns = NEVER;
}

bool child_exited(struct child *child, uint64_t now_ns)
{
    assert(child->pid);
    child->duration_ns = clock_now_ns() - child->started_ns;
    forget_pid(child);
    child->lingers = true;
    child->out.pipe = child->err.pipe = 0;
    stream_finish(&child->out);
    stream_finish(&child->err);
    if (!child->killed && !is_at_end(child)) {
        linger_begins(child, now_ns);
        return false;
    }
    if (child->killed) {
        child->out.pipe = pipe_of(child->out.reader);
        child->err.pipe = pipe_of(child->err.reader);
        signal_all(child, SIGKILL, now_ns);
        child_give_to_drain(child, &child->out.reader);
        child_give_to_drain(child, &child->err.reader);
    }
    linger_ends(child);
    return true;
}

void child_forget(struct child *child)
{
    capture_reset(&child->out.capture);
    capture_reset(&child->err.capture);
}

void child_abandon(struct child *child)
{
    if (child->pid || child->lingers)
        signal_all(child, SIGKILL, clock_now_ns());
    if (child->pid)
        forget_pid(child);
    child->lingers = false;
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
