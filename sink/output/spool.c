/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/output/spool.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/sys/tempfile.h"
#include "common/base/varint.h"
#include "common/base/xalloc.h"
#include "sink/output/seqheap.h"

/* A record is
 *
 *     size of out, size of err, out, err, number of the next record less this one's (0: it is the
 * last)
 *
 * with varints, so that a run always knows the number of what it has next. */
struct run {
    uint64_t seq;   /* of the next to leave */
    uint64_t begin; /* its place in the file, which starts on a block, so that its hole is whole */
    uint64_t end;
    uint64_t read;     /* up to here it has been read into the window */
    struct buf window; /* what of it has been read */
    size_t at;         /* in the window: the record of `seq` */
};

static_assert(sizeof(struct run) <= SEQHEAP_WIDTH_MAX && offsetof(struct run, seq) == 0,
              "runs are in a seqheap");

struct spool {
    const char *tmpdir;
    int fd;            /* -1 until it is needed */
    struct run *runs;  /* a seqheap */
    size_t count;      /* runs */
    size_t capacity;   /* runs */
    uint64_t file_end; /* the next run begins here */
    uint64_t size;     /* bytes that runs take on disk */
    struct buf lent;   /* the window of what was taken last, when the run no longer needs it */
    struct buf write;  /* of the run being written: what is not in the file yet */
    uint64_t written;  /* of that run: its end in the file so far */
    uint64_t first;    /* of that run; 0: none yet */
    uint64_t last;
};

enum { WRITE_SIZE = 256 << 10, KEEP_WINDOW = 64 << 10, DISK_BLOCK = 4096 };

struct spool *spool_new(const char *tmpdir)
{
    struct spool *s = xcalloc(1, sizeof *s);
    s->tmpdir = tmpdir;
    s->fd = -1;
    return s;
}

void spool_destroy(struct spool **spool)
{
    struct spool *s = *spool;
    if (!s)
        return;
    for (size_t i = 0; i < s->count; i++)
        buf_free(&s->runs[i].window);
    free(s->runs);
    buf_free(&s->write);
    buf_free(&s->lent);
    if (s->fd >= 0)
        close(s->fd);
    free(s);
    *spool = NULL;
}

/* Writing. */

enum error spool_begin_run(struct spool *s, struct why *why)
{
    s->written = s->file_end;
    s->first = 0;
    return s->fd >= 0 ? ERR_NONE : tempfile_open(s->tmpdir, &s->fd, why);
}

/* What a run that could not be written whole has left in the file goes, so that a full disk has it.
 */
static enum error write_out(struct spool *s, struct why *why)
{
    enum error error = tempfile_write(s->fd, buf_bytes(&s->write), s->written, why);
    s->written += s->write.size;
    buf_clear(&s->write);
    if (s->write.capacity > 2 * WRITE_SIZE)
        buf_free(&s->write);
    if (error) { /* if this fails too, the next run is written over it all the same */
        int ignored = ftruncate(s->fd, (off_t)s->file_end);
        (void)ignored;
    }
    return error;
}

enum error spool_add(struct spool *s, uint64_t seq, struct bytes out, struct bytes err,
                     struct why *why)
{
    if (s->first == 0)
        s->first = seq;
    else
        varint_put(&s->write, seq - s->last);
    s->last = seq;
    varint_put(&s->write, out.size);
    varint_put(&s->write, err.size);
    buf_put_bytes(&s->write, out);
    buf_put_bytes(&s->write, err);
    return s->write.size < WRITE_SIZE ? ERR_NONE : write_out(s, why);
}

static uint64_t place_size(uint64_t begin, uint64_t end)
{
    return (end - begin + DISK_BLOCK - 1) / DISK_BLOCK * DISK_BLOCK;
}

enum error spool_end_run(struct spool *s, struct why *why)
{
    assert(s->first > 0);
    varint_put(&s->write, 0);
    enum error error = write_out(s, why);
    if (error)
        return error;
    if (s->count == s->capacity) {
        s->capacity = s->capacity ? s->capacity * 2 : 16;
        s->runs = xrealloc(s->runs, s->capacity * sizeof *s->runs);
    }
    s->runs[s->count++] =
        (struct run){.seq = s->first, .begin = s->file_end, .end = s->written, .read = s->file_end};
    seqheap_sift_up(s->runs, sizeof *s->runs, s->count);
    uint64_t size = place_size(s->file_end, s->written);
    s->size += size;
    s->file_end += size;
    return ERR_NONE;
}

/* Reading. */

/* Has at least `size` bytes of the run, or all that it still has, in its window from `at` on. */
static enum error spool_fill(const struct spool *s, struct run *run, size_t size, struct why *why)
{
    if (run->window.size - run->at >= size || run->read == run->end)
        return ERR_NONE;
    buf_drop_front(&run->window, run->at);
    run->at = 0;
    size_t more = (size > SPOOL_READ_SIZE ? size : SPOOL_READ_SIZE) - run->window.size;
    if (more > run->end - run->read)
        more = (size_t)(run->end - run->read);
    enum error error = tempfile_read(s->fd, buf_reserve(&run->window, more), more, run->read, why);
    if (error)
        return error;
    run->window.size += more;
    run->read += more;
    return ERR_NONE;
}

/* Moves the run behind its first record, whose slices it gives. On an error it is where it was. */
static enum error take_record(const struct spool *s, struct run *run, struct bytes *out,
                              struct bytes *err, uint64_t *to_next, struct why *why)
{
    enum error error = spool_fill(s, run, 2 * VARINT_SIZE_MAX, why);
    if (error)
        return error;
    uint64_t out_size, err_size;
    const uint8_t *begin = run->window.data + run->at, *at = begin;
    const uint8_t *end = run->window.data + run->window.size;
    bool whole = varint_take(&at, end, &out_size) && varint_take(&at, end, &err_size);
    assert(whole); /* nobody else can write to this file */
    size_t head = (size_t)(at - begin), body = (size_t)(out_size + err_size);
    error = spool_fill(s, run, head + body + VARINT_SIZE_MAX, why);
    if (error)
        return error;
    at = run->window.data + run->at + head;
    end = run->window.data + run->window.size;
    assert((size_t)(end - at) > body);
    *out = (struct bytes){at, (size_t)out_size};
    *err = (struct bytes){at + out_size, (size_t)err_size};
    at += body;
    whole = varint_take(&at, end, to_next);
    assert(whole);
    run->at = (size_t)(at - run->window.data);
    return ERR_NONE;
}

/* A window that a large result has made large is given back; what of it is behind is read again. */
static void lend_window(struct spool *s, struct run *run)
{
    s->lent = run->window;
    run->read -= run->window.size - run->at;
    run->window = (struct buf){0};
    run->at = 0;
}

static void remove_first_run(struct spool *s)
{
    struct run *run = &s->runs[0];
    uint64_t size = place_size(run->begin, run->end);
    if (fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)run->begin,
                  (off_t)size) == 0)
        s->size -= size;
    *run = s->runs[--s->count];
    if (s->count == 0 && ftruncate(s->fd, 0) == 0)
        s->file_end = s->size = 0;
}

enum error spool_take(struct spool *s, struct bytes *out, struct bytes *err, struct why *why)
{
    assert(s->count > 0);
    struct run *run = &s->runs[0];
    uint64_t to_next;
    buf_free(&s->lent);
    enum error error = take_record(s, run, out, err, &to_next, why);
    if (error)
        return error;
    run->seq += to_next;
    if (to_next == 0 || run->window.capacity > KEEP_WINDOW)
        lend_window(s, run);
    if (to_next == 0)
        remove_first_run(s);
    seqheap_sift_down(s->runs, sizeof *s->runs, s->count);
    return ERR_NONE;
}

bool spool_empty(const struct spool *s)
{
    return s->count == 0;
}

uint64_t spool_first(const struct spool *s)
{
    assert(s->count > 0);
    return s->runs[0].seq;
}

uint64_t spool_size_bytes(const struct spool *s)
{
    return s->size;
}

size_t spool_memory_bytes(const struct spool *s)
{
    size_t size = sizeof *s + s->capacity * sizeof *s->runs + s->write.capacity + s->lent.capacity;
    for (size_t i = 0; i < s->count; i++)
        size += s->runs[i].window.capacity;
    return size;
}
