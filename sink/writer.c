/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/xalloc.h"

enum {
    WRITE_MAX = 1 << 20, /* of one write to a file: a disk that is slow holds up one turn less */
    KEEP_CAPACITY = 1 << 20
};

static void init(struct writer *w, int fd, bool owns_fd, const char *name)
{
    struct stat st;
    *w = (struct writer){.fd = fd, .owns_fd = owns_fd, .name = xstrdup(name)};
    w->plain = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

enum error writer_open(struct writer *w, const char *path, struct why *why)
{
    *w = (struct writer){.fd = -1};
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
    if (fd < 0)
        return fail(why, ERR_IO, "cannot open %s for writing: %s", path, strerror(errno));
    init(w, fd, true, path);
    return ERR_NONE;
}

enum error writer_continue(struct writer *w, const char *path, uint64_t length, struct why *why)
{
    struct stat st;
    *w = (struct writer){.fd = -1};
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
    if (fd < 0)
        return fail(why, ERR_IO, "cannot open %s for writing: %s", path, strerror(errno));
    init(w, fd, true, path);
    if (fstat(fd, &st) || !w->plain || (uint64_t)st.st_size < length)
        return fail(why, ERR_INVALID,
                    "%s cannot be gone on with: the store says that %" PRIu64 " bytes of it were "
                    "written; give another file, and all results are written there",
                    path, length);
    if (ftruncate(fd, (off_t)length) || lseek(fd, 0, SEEK_END) < 0)
        return fail(why, ERR_IO, "cannot cut %s back to %" PRIu64 " bytes: %s", path, length,
                    strerror(errno));
    w->written = length;
    return ERR_NONE;
}

/* A terminal says POLLOUT when it has room for one byte and then blocks for more. */
static int reopen_terminal(int fd)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
}

void writer_use(struct writer *w, int fd, const char *name)
{
    int own = isatty(fd) ? reopen_terminal(fd) : -1;
    init(w, own >= 0 ? own : fd, own >= 0, name);
}

void writer_close(struct writer *w)
{
    if (w->owns_fd)
        close(w->fd);
    free(w->name);
    buf_free(&w->buf);
    *w = (struct writer){.fd = -1};
}

struct buf *writer_buf(struct writer *w)
{
    return &w->buf;
}

static bool takes_more(const struct writer *w)
{
    struct pollfd pollfd = {.fd = w->fd, .events = POLLOUT};
    return w->plain || poll(&pollfd, 1, 0) > 0; /* an error shows in the write */
}

static void advance(struct writer *w, size_t size)
{
    w->written += size;
    w->start += size;
    if (w->start == w->buf.size) {
        w->start = 0;
        buf_clear(&w->buf);
        if (w->buf.capacity > KEEP_CAPACITY)
            buf_free(&w->buf);
    }
}

static enum error failed(const struct writer *w, struct why *why)
{
    switch (errno == EIO && !w->plain ? EPIPE : errno) { /* a terminal that hung up says EIO */
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EIO:
        return fail(why, ERR_DISK_FULL, "cannot write to %s: %s; nothing is lost, make room",
                    w->name, strerror(errno));
    case EPIPE:
    case ECONNRESET:
        return fail(why, ERR_CLOSED, "cannot write to %s: whoever read it is gone", w->name);
    default:
        return fail(why, ERR_IO, "cannot write to %s: %s", w->name, strerror(errno));
    }
}

/* What was written is moved out of the way when it is most of the buffer, so that a buffer that
 * never runs empty does not grow. */
static void compact(struct writer *w)
{
    if (w->start > w->buf.size / 2) {
        buf_drop_front(&w->buf, w->start);
        w->start = 0;
    }
}

enum error writer_flush(struct writer *w, struct why *why)
{
    size_t most = w->plain ? WRITE_MAX : PIPE_BUF;
    w->blocked = false;
    while (writer_pending(w)) {
        w->blocked = !takes_more(w);
        if (w->blocked)
            break;
        size_t size = writer_pending(w) < most ? writer_pending(w) : most;
        ssize_t n = write(w->fd, w->buf.data + w->start, size);
        if (n >= 0) {
            advance(w, (size_t)n);
        } else if (errno == EAGAIN) {
            w->blocked = true;
            break;
        } else if (errno != EINTR) {
            return failed(w, why);
        }
    }
    compact(w);
    return ERR_NONE;
}

bool writer_blocked(const struct writer *w)
{
    return w->blocked;
}

int writer_fd(const struct writer *w)
{
    return w->fd;
}

size_t writer_pending(const struct writer *w)
{
    return w->buf.size - w->start;
}

uint64_t writer_written(const struct writer *w)
{
    return w->written;
}

uint64_t writer_end(const struct writer *w)
{
    return w->written + writer_pending(w);
}

bool writer_is_plain(const struct writer *w)
{
    return w->plain;
}
