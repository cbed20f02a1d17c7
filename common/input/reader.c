/* SPDX-License-Identifier: MPL-2.0 */
#include "common/input/reader.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/xalloc.h"

static bool is_standard_input(const char *path)
{
    return strcmp(path, "-") == 0;
}

static const char *shown(const char *path)
{
    return is_standard_input(path) ? "standard input" : path;
}

static enum error error_of(int number)
{
    switch (number) {
    case ENOENT:
    case ENOTDIR:
        return ERR_NOT_FOUND;
    case EACCES:
    case EPERM:
        return ERR_ACCESS;
    default:
        return ERR_IO;
    }
}

/* O_NONBLOCK lets a FIFO be opened before its writer; this open file is nobody else's. */
static int open_path(const char *path)
{
    if (is_standard_input(path))
        return STDIN_FILENO;
    return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

enum error reader_open(struct reader *reader, const char *path, uint8_t separator, size_t value_max,
                       struct why *why)
{
    struct stat status;
    *reader = (struct reader){
        .fd = open_path(path), .path = path, .separator = separator, .value_max = value_max};
    if (reader->fd < 0 || fstat(reader->fd, &status)) {
        int number = errno;
        reader_close(reader);
        return fail(why, error_of(number), "cannot read tasks from %s: %s", shown(path),
                    strerror(number));
    }
    if (S_ISDIR(status.st_mode)) {
        reader_close(reader);
        return fail(why, ERR_INVALID,
                    "cannot read tasks from %s: it is a directory; give a file that has a task in "
                    "each line",
                    shown(path));
    }
    return ERR_NONE;
}

void reader_close(struct reader *reader)
{
    if (reader->fd > STDIN_FILENO)
        close(reader->fd);
    reader->fd = -1;
    free(reader->data);
    reader->data = NULL;
    reader->capacity = reader->at = reader->end = reader->scanned = 0;
    reader->ended = true;
}

/* Makes room behind `end`, a quarter of the buffer at least: what there is of a value moves to the
 * front, or the buffer grows for a long one. It stays below four times `value_max`, because what is
 * longer is read over. */
static void reader_make_room(struct reader *r)
{
    size_t kept = r->end - r->at;
    if (r->capacity && r->capacity - r->end >= r->capacity / 4)
        return;
    if (r->at > 0 && kept <= r->capacity / 2) {
        memmove(r->data, r->data + r->at, kept);
        r->scanned -= r->at;
        r->end -= r->at;
        r->at = 0;
        return;
    }
    r->capacity = r->capacity ? r->capacity * 2 : READER_SIZE;
    r->data = xrealloc(r->data, r->capacity);
}

enum reader_state reader_read(struct reader *r, uint8_t *to, size_t most, size_t *size,
                              struct why *why)
{
    if (r->ended)
        return READER_END;
    struct pollfd ready = {.fd = r->fd, .events = POLLIN};
    if (poll(&ready, 1, 0) == 0)
        return READER_WAIT;
    ssize_t got = read(r->fd, to, most);
    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return READER_WAIT;
    if (got < 0) {
        fail(why, ERR_IO, "cannot read tasks from %s: %s", shown(r->path), strerror(errno));
        return READER_FAILED;
    }
    *size = (size_t)got;
    r->ended = got == 0; /* for good, also on a terminal */
    return r->ended ? READER_END : READER_VALUE;
}

/* READER_VALUE: there are more bytes. */
static enum reader_state reader_read_more(struct reader *r, struct why *why)
{
    if (r->ended)
        return READER_END;
    if (r->at == r->end)
        r->at = r->end = r->scanned = 0;
    reader_make_room(r);
    size_t size;
    enum reader_state state = reader_read(r, r->data + r->end, r->capacity - r->end, &size, why);
    if (state == READER_VALUE)
        r->end += size;
    return state;
}

/* Drops what is buffered of a value that is too long. */
static void reader_read_over(struct reader *r, size_t size)
{
    r->over = true;
    r->read_over += size;
    r->at += size;
    r->scanned = r->at;
}

/* The value from `at` up to `value_end` in the buffer. */
static struct bytes current(struct reader *r, size_t value_end)
{
    r->scanned = value_end;
    if (r->over)
        return (struct bytes){NULL, r->read_over + (value_end - r->at)};
    return (struct bytes){r->data + r->at, value_end - r->at};
}

enum reader_state reader_peek(struct reader *r, struct bytes *value, struct why *why)
{
    for (;;) {
        const uint8_t *found = r->end > r->scanned
                                   ? memchr(r->data + r->scanned, r->separator, r->end - r->scanned)
                                   : NULL;
        if (found) {
            *value = current(r, (size_t)(found - r->data));
            return READER_VALUE;
        }
        r->scanned = r->end;
        if (r->over || r->end - r->at > r->value_max)
            reader_read_over(r, r->end - r->at);
        enum reader_state state = reader_read_more(r, why);
        if (state == READER_END && (r->over || r->end > r->at)) {
            *value = current(r, r->end);
            return READER_VALUE;
        }
        if (state != READER_VALUE)
            return state;
    }
}

void reader_skip(struct reader *r)
{
    r->at = r->scanned < r->end ? r->scanned + 1 : r->end;
    r->scanned = r->at;
    r->over = false;
    r->read_over = 0;
}
