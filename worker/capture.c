/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/xalloc.h"

enum { MEMORY_KEPT_MAX = 64 << 10 }; /* what a capture holds on to between two children */

void capture_init(struct capture *capture)
{
    *capture = (struct capture){.file = -1};
}

/* Not every file system has O_TMPFILE. */
static int open_unlinked(const char *tmpdir)
{
    int file = open(tmpdir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (file >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
        return file;
    char *path = xasprintf("%s/zfarm-output-XXXXXX", tmpdir);
    file = mkostemp(path, O_CLOEXEC);
    if (file >= 0)
        unlink(path);
    free(path);
    return file;
}

/* Returns how much was written; less than all with errno set. */
static size_t write_at(int file, struct bytes bytes, uint64_t offset)
{
    size_t done = 0;
    while (done < bytes.size) {
        ssize_t n = pwrite(file, bytes.data + done, bytes.size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    return done;
}

/* Moves what is in memory to a file. On failure it stays in memory and errno is set. */
static bool move_to_file(struct capture *capture, const char *tmpdir)
{
    int file = open_unlinked(tmpdir);
    if (file < 0)
        return false;
    if (write_at(file, buf_bytes(&capture->memory), 0) < capture->memory.size) {
        int why = errno;
        close(file);
        errno = why;
        return false;
    }
    capture->file = file;
    buf_free(&capture->memory);
    return true;
}

enum capture_state capture_add(struct capture *capture, const struct capture_limits *limits,
                               struct bytes bytes)
{
    enum capture_state state = CAPTURE_WHOLE;
    if (bytes.size > limits->output_max - capture->size) {
        bytes.size = limits->output_max - capture->size;
        state = CAPTURE_TOO_LARGE;
    }
    bool in_memory = capture->file < 0;
    if (in_memory && capture->memory.size + bytes.size > OUTPUT_MEMORY_MAX) {
        if (!move_to_file(capture, limits->tmpdir))
            return CAPTURE_NO_ROOM;
        in_memory = false;
    }
    size_t kept = bytes.size;
    if (in_memory)
        buf_put_bytes(&capture->memory, bytes);
    else
        kept = write_at(capture->file, bytes, capture->size);
    capture->size += kept;
    return kept < bytes.size ? CAPTURE_NO_ROOM : state;
}

void capture_note(struct capture *capture, const char *line)
{
    struct bytes bytes = bytes_of(line);
    if (capture->file < 0) {
        buf_put_bytes(&capture->memory, bytes);
        capture->size += bytes.size;
        return;
    }
    size_t fitted = write_at(capture->file, bytes, capture->size);
    size_t back = bytes.size - fitted; /* a full disk still lets us write over what is there */
    if (back)
        write_at(capture->file, bytes, capture->size + fitted - bytes.size);
    capture->size += fitted;
}

struct output capture_take(struct capture *capture)
{
    struct output output = {
        .bytes = buf_bytes(&capture->memory), .fd = capture->file, .size = capture->size};
    capture->file = -1;
    return output;
}

void capture_reset(struct capture *capture)
{
    if (capture->file >= 0)
        close(capture->file);
    capture->file = -1;
    capture->size = 0;
    if (capture->memory.capacity > MEMORY_KEPT_MAX)
        buf_free(&capture->memory);
    buf_clear(&capture->memory);
}

void capture_free(struct capture *capture)
{
    capture_reset(capture);
    buf_free(&capture->memory);
}
