/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/output/writer.h"

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

#include "common/sys/shortage.h"
#include "common/base/xalloc.h"

enum {
    WRITE_MAX = 1 << 20, /* of one write to a file: a disk that is slow holds up one turn less */
    KEEP_CAPACITY = 1 << 20,
    TURN_MAX = 64 << 20 /* of one flush */
};

static void init(struct writer *w, int fd, bool owns_fd, const char *name)
{
    struct stat st;
    *w = (struct writer){.fd = fd, .owns_fd = owns_fd, .name = xstrdup(name)};
    w->plain = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    w->is_terminal = isatty(fd);
    if (!w->plain || owns_fd)
        return;
    off_t at = lseek(fd, 0, SEEK_CUR);
    bool appends = fcntl(fd, F_GETFL) & O_APPEND;
    w->base = (uint64_t)(appends || at < 0 ? st.st_size : at);
}

enum error writer_open(struct writer *w, const char *path, struct why *why)
{
    *w = (struct writer){.fd = -1};
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
    if (fd < 0)
        return fail(why, ERR_IO, "cannot open %s for writing: %s", path, strerror(errno));
    init(w, fd, true, path);
    w->old = w->plain;
    return ERR_NONE;
}

static enum error cut_short(const struct writer *w, struct why *why)
{
    return fail(why, ERR_IO,
                "%s was cut short by somebody else while it was open here: of %" PRIu64
                " bytes that were written some are gone; run it again",
                w->name, w->written);
}

enum error writer_begin(struct writer *w, struct why *why)
{
    struct stat st;
    if (!w->old)
        return ERR_NONE;
    if (fstat(w->fd, &st) || (uint64_t)st.st_size < w->kept)
        return cut_short(w, why);
    if (ftruncate(w->fd, (off_t)w->kept))
        return fail(why, ERR_IO, "cannot cut %s back to %" PRIu64 " bytes: %s", w->name, w->kept,
                    strerror(errno));
    w->old = false;
    return ERR_NONE;
}

/* A write behind the end of a file that was cut short would leave zeros where the results were. */
static enum error writer_check_size(const struct writer *w, struct why *why)
{
    struct stat here;
    if (!w->plain || w->old || fstat(w->fd, &here) ||
        (uint64_t)here.st_size >= w->base + w->written)
        return ERR_NONE;
    return cut_short(w, why);
}

enum error writer_check(const struct writer *w, struct why *why)
{
    struct stat here, there;
    if (!w->plain || w->old || fstat(w->fd, &here))
        return ERR_NONE;
    enum error error = writer_check_size(w, why);
    if (error)
        return error;
    if (!w->owns_fd)
        return ERR_NONE; /* it may never have had a name */
    if (stat(w->name, &there) == 0 && there.st_ino == here.st_ino && there.st_dev == here.st_dev)
        return ERR_NONE;
    return fail(why, ERR_IO,
                "%s was removed or replaced while results were written to it: what it had is gone; "
                "run it again",
                w->name);
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
    if (lseek(fd, (off_t)length, SEEK_SET) < 0)
        return fail(why, ERR_IO, "cannot go to byte %" PRIu64 " of %s: %s", length, path,
                    strerror(errno));
    w->written = w->kept = length;
    w->old = true;
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
    for (size_t i = 0; i < w->piece_count; i++)
        block_release(&w->pieces[i].block);
    free(w->pieces);
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

void writer_put_block(struct writer *w, struct block *block, struct bytes bytes)
{
    if (!bytes.size)
        return;
    w->pieces = xrealloc(w->pieces, (w->piece_count + 1) * sizeof *w->pieces);
    w->pieces[w->piece_count++] = (struct writer_piece){block_hold(block), bytes, writer_end(w)};
    w->pieces_size += bytes.size;
}

/* The piece whose turn it is; NULL: it is that of the buffer. */
static struct writer_piece *current_piece(const struct writer *w)
{
    return w->piece_count && w->pieces[0].at <= w->written ? &w->pieces[0] : NULL;
}

/* What is to be written next, without a gap. */
static struct bytes next_bytes(const struct writer *w)
{
    const struct writer_piece *piece = current_piece(w);
    if (piece)
        return piece->rest;
    size_t size = w->buf.size - w->start;
    if (w->piece_count && w->pieces[0].at - w->written < size)
        size = (size_t)(w->pieces[0].at - w->written);
    return (struct bytes){w->buf.data + w->start, size};
}

static void advance_piece(struct writer *w, struct writer_piece *piece, size_t size)
{
    block_cool(piece->block, (struct bytes){piece->rest.data, size});
    piece->rest = (struct bytes){piece->rest.data + size, piece->rest.size - size};
    w->pieces_size -= size;
    if (piece->rest.size)
        return;
    block_release(&piece->block);
    memmove(w->pieces, w->pieces + 1, --w->piece_count * sizeof *w->pieces);
}

static void writer_advance(struct writer *w, size_t size)
{
    struct writer_piece *piece = current_piece(w);
    w->written += size;
    if (piece) {
        advance_piece(w, piece, size);
        return;
    }
    w->start += size;
    if (w->start == w->buf.size) {
        w->start = 0;
        buf_clear(&w->buf);
        if (w->buf.capacity > KEEP_CAPACITY)
            buf_free(&w->buf);
    }
}

static enum error writer_failed(const struct writer *w, struct why *why)
{
    bool hung_up = errno == EIO && !w->plain; /* as a terminal says it */
    if (hung_up || errno == EPIPE || errno == ECONNRESET)
        return fail(why, ERR_CLOSED, "cannot write to %s: whoever read it is gone", w->name);
    enum error error = shortage_error(TRIED_FILE, errno);
    return fail(why, error, "cannot write to %s: %s%s", w->name, strerror(errno),
                error == ERR_DISK_FULL ? "; nothing is lost, make room" : "");
}

/* What was written is moved out of the way when it is most of the buffer, so that a buffer that
 * never runs empty does not grow. */
static void writer_compact(struct writer *w)
{
    if (w->start > w->buf.size / 2) {
        buf_drop_front(&w->buf, w->start);
        w->start = 0;
    }
}

enum error writer_flush(struct writer *w, struct why *why)
{
    size_t most = w->plain ? WRITE_MAX : PIPE_BUF;
    uint64_t enough = w->written + TURN_MAX;
    w->blocked = w->tired = false;
    enum error error = writer_pending(w) ? writer_begin(w, why) : ERR_NONE;
    if (!error && writer_pending(w))
        error = writer_check_size(w, why);
    if (error)
        return error;
    while (writer_pending(w)) {
        w->tired = w->written >= enough;
        w->blocked = !w->tired && !takes_more(w);
        if (w->tired || w->blocked)
            break;
        struct bytes bytes = next_bytes(w);
        ssize_t n = write(w->fd, bytes.data, bytes.size < most ? bytes.size : most);
        if (n >= 0) {
            writer_advance(w, (size_t)n);
        } else if (errno == EAGAIN) {
            w->blocked = true;
            break;
        } else if (errno != EINTR) {
            return writer_failed(w, why);
        }
    }
    writer_compact(w);
    return ERR_NONE;
}

bool writer_blocked(const struct writer *w)
{
    return w->blocked;
}

bool writer_tired(const struct writer *w)
{
    return w->tired;
}

int writer_fd(const struct writer *w)
{
    return w->fd;
}

size_t writer_pending(const struct writer *w)
{
    return w->buf.size - w->start + w->pieces_size;
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
