/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/exec/capture.h"

#include <unistd.h>

#include "common/sys/tempfile.h"

enum { MEMORY_KEPT_MAX = 64 << 10 }; /* what a capture holds on to between two children */

void capture_init(struct capture *capture)
{
    *capture = (struct capture){.file = -1};
}

/* Moves what is in memory to a file. On failure it stays in memory. */
static enum error move_to_file(struct capture *capture, const char *tmpdir, struct why *why)
{
    int file;
    enum error error = tempfile_open(tmpdir, &file, why);
    if (error)
        return error;
    error = tempfile_write(file, buf_bytes(&capture->memory), 0, why);
    if (error) {
        close(file);
        return error;
    }
    capture->file = file;
    buf_free(&capture->memory);
    return ERR_NONE;
}

static enum error capture_append(struct capture *capture, const char *tmpdir, struct bytes bytes,
                                 struct why *why)
{
    enum error error = ERR_NONE;
    if (capture->file < 0 && capture->size + bytes.size > OUTPUT_MEMORY_MAX)
        error = move_to_file(capture, tmpdir, why);
    if (error)
        return error;
    if (capture->file < 0)
        buf_put_bytes(&capture->memory, bytes);
    else
        error = tempfile_write(capture->file, bytes, capture->size, why);
    if (!error)
        capture->size += bytes.size;
    return error;
}

/* The task has failed and its output is not whole: of what is in the file only the beginning stays, so that the
 * disk that is full has the room. */
static void capture_cut(struct capture *capture)
{
    if (capture->file < 0 || capture->size <= MEMORY_KEPT_MAX)
        return;
    if (ftruncate(capture->file, MEMORY_KEPT_MAX) == 0)
        capture->size = MEMORY_KEPT_MAX;
}

enum capture_state capture_add(struct capture *capture, const struct capture_limits *limits,
                               struct bytes bytes, struct why *why)
{
    enum capture_state state = CAPTURE_WHOLE;
    if (bytes.size > limits->output_max - capture->size) {
        bytes.size = limits->output_max - capture->size;
        state = CAPTURE_TOO_LARGE;
    }
    if (!capture_append(capture, limits->tmpdir, bytes, why))
        return state;
    capture_cut(capture);
    return CAPTURE_NO_ROOM;
}

/* A full disk still lets us write over what is there, and that is longer than any line of ours. */
void capture_note(struct capture *capture, struct bytes line)
{
    if (capture->file < 0)
        buf_put_bytes(&capture->memory, line);
    else if (tempfile_write(capture->file, line, capture->size, NULL)) {
        tempfile_write(capture->file, line, capture->size - line.size, NULL);
        return;
    }
    capture->size += line.size;
}

struct output capture_output(struct capture *capture)
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
