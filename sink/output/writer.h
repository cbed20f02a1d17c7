/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_WRITER_H
#define ZFARM_WRITER_H

#include "common/base/block.h"
#include "common/base/error.h"

/* Bytes on their way to a descriptor: kept until they are written, never lost, and written without
 * ever blocking the process.
 *
 * A regular file takes plain writes. A pipe, socket or terminal is asked with poll first and then
 * given at most PIPE_BUF bytes, which it takes without blocking; O_NONBLOCK is never set, because
 * others share the descriptor. (A terminal may block even then, so it is opened a second time,
 * non-blocking, for the writer alone.) The process must ignore SIGPIPE and SIGXFSZ, so that they
 * show as errors.
 *
 * The writer has no limit: who fills it stops when writer_pending is above theirs. The calling
 * loop:
 *
 *     buf_put (writer_buf (&w), ...); remember writer_end (&w);
 *     once a turn: writer_flush (&w, &why);
 *     writer_blocked (&w): poll writer_fd (&w) for POLLOUT, then flush again;
 *     writer_written (&w) has reached what was remembered: those bytes are out.
 */

/* Bytes of a block that are written from where they are. */
struct writer_piece {
    struct block *block;
    struct bytes rest; /* of it, that is not written */
    uint64_t at;       /* position at which it begins */
};

struct writer {
    int fd;
    bool owns_fd;
    bool plain; /* a regular file: write without asking */
    bool is_terminal;
    bool old;     /* what an earlier run has left behind `kept` is still in it */
    bool blocked; /* the last flush ended because it takes no more now */
    bool tired;   /* or because it had written enough for one turn */
    char *name;   /* for messages */
    struct buf buf;
    size_t start;                /* what is before it in buf has been written */
    struct writer_piece *pieces; /* in order; between and around them is what is in buf */
    size_t piece_count;
    size_t pieces_size; /* bytes of them that are not written */
    uint64_t written;   /* bytes, since the writer was opened */
    uint64_t kept;      /* of an earlier run: how much of it stays */
    uint64_t base;      /* where in a regular file `written` counts from */
};

/* Creates the file `path`, or empties it before anything is written or at writer_begin: a sink that is not taken
 * leaves what there is. ERR_IO: `why` says what to do, w is closed. Opening a FIFO
 * waits for its reader, as a shell's `>` does; everything else does not block. */
enum error writer_open(struct writer *w, const char *path, struct why *why);
/* Opens the file `path` to go on behind its first `length` bytes; what is behind them is cut off before anything is
 * written or at writer_begin. ERR_IO as above; ERR_INVALID: it is shorter, or no file that can be cut. */
enum error writer_continue(struct writer *w, const char *path, uint64_t length, struct why *why);
/* Writes to a descriptor that stays the caller's (STDOUT_FILENO, "standard output"). */
void writer_use(struct writer *w, int fd, const char *name);
/* Frees all, pending bytes too, and closes what writer_open opened. Takes a zero-initialised one.
 */
void writer_close(struct writer *w);

/* Takes away what writer_open and writer_continue have found. ERR_IO: it cannot be. */
enum error writer_begin(struct writer *w, struct why *why);

/* Whether a regular file still has all that was written, and its name, if it was opened by name. ERR_IO: somebody
 * has removed it, put another one in its place, or cut it short. Asks the system, so it is for now and then. */
enum error writer_check(const struct writer *w, struct why *why);

/* Where to append. Nothing but appending is allowed on it. */
struct buf *writer_buf(struct writer *w);

/* Appends bytes that lie in `block`, which it holds until they are written: how large outputs get by
 * without being in memory. */
void writer_put_block(struct writer *w, struct block *block, struct bytes bytes);

/* Writes as much as goes now, some 64 MiB at most. Nothing is ever dropped: what is not written stays pending.
 * ERR_NONE: all is written, or writer_blocked says that it waits for POLLOUT, or writer_tired that
 * it is to be called again soon.
 * ERR_DISK_FULL: no room (also a quota, a file size limit, or EIO of a file): say it and flush
 * again each second. ERR_CLOSED: the consumer is gone. ERR_IO: the descriptor is no good (closed,
 * not for writing). Both for ever: the output cannot be completed. */
enum error writer_flush(struct writer *w, struct why *why);

bool writer_blocked(const struct writer *w);
bool writer_tired(const struct writer *w);
int writer_fd(const struct writer *w);
size_t writer_pending(const struct writer *w); /* bytes */
/* A regular file, whose length can be relied on. */
bool writer_is_plain(const struct writer *w);
/* Positions, in bytes since it was opened (writer_continue: from the file's beginning): of what has
 * been written, and of the end of what was put. */
uint64_t writer_written(const struct writer *w);
uint64_t writer_end(const struct writer *w);

#endif
