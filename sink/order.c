/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/order.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/seqset.h"
#include "common/tempfile.h"
#include "common/varint.h"
#include "common/xalloc.h"

/* A result that waits in memory: its bytes, stdout before stderr, are at `at` in the arena. */
struct entry {
    uint64_t seq;
    size_t at;
    uint32_t out_size;
    uint32_t err_size;
};

/* Results that wait in the file, in order. A record is
 *
 *     size of out, size of err, out, err, number of the next record less this one's (0: the last)
 *
 * with the numbers as varints, so that the number of the next to leave is always known. */
struct run {
    uint64_t seq;   /* of the next to leave */
    uint64_t begin; /* its place in the file, which starts on a block, so that its hole is whole */
    uint64_t end;
    uint64_t read;     /* up to here it has been read into the window */
    struct buf window; /* what of it has been read */
    size_t at;         /* in the window: the record of `seq` */
};

/* The arena is one piece of memory: the entries, a heap with the smallest number first, grow from
 * its bottom, the bytes from its top downwards. Bytes that have left are dead until the arena is
 * tidied. */
struct order {
    struct order_options options;
    order_release_fn *release;
    void *context;
    uint64_t next;
    uint64_t waiting;
    struct seqset skipped;
    uint8_t *arena;
    size_t count;     /* entries */
    size_t top;       /* where the bytes begin */
    size_t live;      /* bytes of what waits in the arena */
    struct run *runs; /* a heap too */
    size_t run_count;
    size_t run_capacity;
    int fd; /* the spool, or -1 */
    uint64_t file_end;
    uint64_t spooled;
    struct buf write; /* what is on its way to the file */
};

enum { WRITE_SIZE = 256 << 10, KEEP_WINDOW = 64 << 10, DISK_BLOCK = 4096, RELEASE_COST = 16 };

struct order *order_new(const struct order_options *options, order_release_fn *release,
                        void *context)
{
    assert(options->memory_max >= sizeof(struct entry) && options->memory_max <= UINT32_MAX);
    struct order *o = xcalloc(1, sizeof *o);
    o->options = *options;
    o->release = release;
    o->context = context;
    o->next = 1;
    o->arena = xmalloc(options->memory_max);
    o->top = options->memory_max;
    o->fd = -1;
    return o;
}

void order_destroy(struct order **order)
{
    struct order *o = *order;
    if (!o)
        return;
    for (size_t i = 0; i < o->run_count; i++)
        buf_free(&o->runs[i].window);
    free(o->runs);
    free(o->arena);
    buf_free(&o->write);
    seqset_free(&o->skipped);
    if (o->fd >= 0)
        close(o->fd);
    free(o);
    *order = NULL;
}

/* Heaps. Both kinds of element begin with their number, and so one pair of functions serves both.
 */

static uint64_t seq_at(const uint8_t *heap, size_t width, size_t i)
{
    uint64_t seq;
    memcpy(&seq, heap + i * width, sizeof seq);
    return seq;
}

static void swap(uint8_t *heap, size_t width, size_t a, size_t b)
{
    uint8_t kept[sizeof(struct run)];
    memcpy(kept, heap + a * width, width);
    memcpy(heap + a * width, heap + b * width, width);
    memcpy(heap + b * width, kept, width);
}

static void sift_up(void *elements, size_t width, size_t i)
{
    uint8_t *heap = elements;
    while (i > 0 && seq_at(heap, width, i) < seq_at(heap, width, (i - 1) / 2)) {
        swap(heap, width, i, (i - 1) / 2);
        i = (i - 1) / 2;
    }
}

static void sift_down(void *elements, size_t width, size_t count)
{
    uint8_t *heap = elements;
    for (size_t i = 0, child; (child = 2 * i + 1) < count; i = child) {
        if (child + 1 < count && seq_at(heap, width, child + 1) < seq_at(heap, width, child))
            child++;
        if (seq_at(heap, width, i) <= seq_at(heap, width, child))
            return;
        swap(heap, width, i, child);
    }
}

static_assert(offsetof(struct entry, seq) == 0 && offsetof(struct run, seq) == 0 &&
                  sizeof(struct entry) <= sizeof(struct run),
              "the heap functions count on it");

static struct entry *entries(const struct order *o)
{
    return (struct entry *)(void *)o->arena;
}

static size_t arena_room(const struct order *o)
{
    return o->top - o->count * sizeof(struct entry);
}

/* Moving on. */

static void skip_what_is_skipped(struct order *o)
{
    struct range range;
    while (!seqset_empty(&o->skipped) && seqset_next(&o->skipped, o->next, o->next, &range)) {
        uint64_t last = o->skipped.ranges[0].last;
        seqset_remove(&o->skipped, o->next, last);
        o->next = last + 1;
    }
}

void order_pass(struct order *o)
{
    o->next++;
    skip_what_is_skipped(o);
}

void order_skip(struct order *o, uint64_t first, uint64_t last)
{
    assert(first >= o->next && first <= last);
    seqset_add(&o->skipped, first, last);
    skip_what_is_skipped(o);
}

static void release(struct order *o, struct bytes out, struct bytes err)
{
    o->release(o->context, o->next, out, err);
    order_pass(o);
}

/* The file. */

static enum error write_out(struct order *o, uint64_t *offset, struct why *why)
{
    enum error error = tempfile_write(o->fd, buf_bytes(&o->write), *offset, why);
    *offset += o->write.size;
    buf_clear(&o->write);
    if (o->write.capacity > 2 * WRITE_SIZE)
        buf_free(&o->write);
    return error;
}

static enum error write_record(struct order *o, uint64_t *offset, struct bytes out,
                               struct bytes err, uint64_t to_next, struct why *why)
{
    varint_put(&o->write, out.size);
    varint_put(&o->write, err.size);
    buf_put_bytes(&o->write, out);
    buf_put_bytes(&o->write, err);
    varint_put(&o->write, to_next);
    return o->write.size < WRITE_SIZE ? ERR_NONE : write_out(o, offset, why);
}

static uint64_t place_size(uint64_t begin, uint64_t end)
{
    return (end - begin + DISK_BLOCK - 1) / DISK_BLOCK * DISK_BLOCK;
}

static void add_run(struct order *o, uint64_t first_seq, uint64_t end)
{
    if (o->run_count == o->run_capacity) {
        o->run_capacity = o->run_capacity ? o->run_capacity * 2 : 16;
        o->runs = xrealloc(o->runs, o->run_capacity * sizeof *o->runs);
    }
    o->runs[o->run_count] =
        (struct run){.seq = first_seq, .begin = o->file_end, .end = end, .read = o->file_end};
    sift_up(o->runs, sizeof *o->runs, o->run_count++);
    uint64_t size = place_size(o->file_end, end);
    o->spooled += size;
    o->file_end += size;
}

static enum error make_spool(struct order *o, struct why *why)
{
    return o->fd >= 0 ? ERR_NONE : tempfile_open(o->options.tmpdir, &o->fd, why);
}

/* What a run that could not be written whole has left in the file goes, so that a full disk has it.
 */
static enum error end_run(struct order *o, uint64_t first_seq, uint64_t end, enum error error,
                          struct why *why)
{
    if (!error)
        error = write_out(o, &end, why);
    if (!error) {
        add_run(o, first_seq, end);
        return ERR_NONE;
    }
    buf_clear(&o->write);
    int ignored = ftruncate(o->fd, (off_t)o->file_end);
    (void)ignored;
    return error;
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static struct bytes entry_out(const struct order *o, const struct entry *e)
{
    return (struct bytes){o->arena + e->at, e->out_size};
}

static struct bytes entry_err(const struct order *o, const struct entry *e)
{
    return (struct bytes){o->arena + e->at + e->out_size, e->err_size};
}

/* All that waits in memory becomes a run. Sorted entries are a heap still, should it fail. */
static enum error spill(struct order *o, struct why *why)
{
    enum error error = make_spool(o, why);
    if (error)
        return error;
    struct entry *e = entries(o);
    qsort(e, o->count, sizeof *e, compare_entries);
    uint64_t end = o->file_end;
    for (size_t i = 0; i < o->count && !error; i++) {
        uint64_t to_next = i + 1 < o->count ? e[i + 1].seq - e[i].seq : 0;
        error = write_record(o, &end, entry_out(o, &e[i]), entry_err(o, &e[i]), to_next, why);
    }
    error = end_run(o, e[0].seq, end, error, why);
    if (error)
        return error;
    o->count = o->live = 0;
    o->top = o->options.memory_max;
    return ERR_NONE;
}

/* Copies what waits into a new arena, without the dead bytes. */
static void tidy(struct order *o)
{
    uint8_t *old = o->arena, *fresh = xmalloc(o->options.memory_max);
    memcpy(fresh, old, o->count * sizeof(struct entry));
    o->arena = fresh;
    o->top = o->options.memory_max;
    struct entry *e = entries(o);
    for (size_t i = 0; i < o->count; i++) {
        size_t size = (size_t)e[i].out_size + e[i].err_size;
        o->top -= size;
        memcpy(fresh + o->top, old + e[i].at, size);
        e[i].at = o->top;
    }
    free(old);
}

static enum error make_room(struct order *o, size_t needed, struct why *why)
{
    if (arena_room(o) >= needed || o->count == 0)
        return ERR_NONE;
    if (o->live + o->count * sizeof(struct entry) + needed <= o->options.memory_max / 2) {
        tidy(o);
        return ERR_NONE;
    }
    return spill(o, why);
}

static void put_into_arena(struct order *o, uint64_t seq, struct bytes out, struct bytes err)
{
    o->top -= out.size + err.size;
    o->live += out.size + err.size;
    if (out.size)
        memcpy(o->arena + o->top, out.data, out.size);
    if (err.size)
        memcpy(o->arena + o->top + out.size, err.data, err.size);
    entries(o)[o->count] = (struct entry){seq, o->top, (uint32_t)out.size, (uint32_t)err.size};
    sift_up(o->arena, sizeof(struct entry), o->count++);
}

/* One that is larger than all of the memory is a run of its own. */
static enum error put_into_file(struct order *o, uint64_t seq, struct bytes out, struct bytes err,
                                struct why *why)
{
    enum error error = make_spool(o, why);
    if (error)
        return error;
    uint64_t end = o->file_end;
    error = write_record(o, &end, out, err, 0, why);
    return end_run(o, seq, end, error, why);
}

enum error order_put(struct order *o, uint64_t seq, struct bytes out, struct bytes err,
                     struct why *why)
{
    assert(seq >= o->next);
    if (seq == o->next) {
        release(o, out, err);
        return ERR_NONE;
    }
    size_t needed = sizeof(struct entry) + out.size + err.size;
    enum error error = make_room(o, needed, why);
    if (error)
        return error;
    if (arena_room(o) >= needed)
        put_into_arena(o, seq, out, err);
    else if ((error = put_into_file(o, seq, out, err, why)))
        return error;
    o->waiting++;
    return ERR_NONE;
}

/* Leaving. */

static size_t release_from_arena(struct order *o)
{
    struct entry first = entries(o)[0];
    size_t size = (size_t)first.out_size + first.err_size;
    release(o, entry_out(o, &first), entry_err(o, &first));
    o->live -= size;
    entries(o)[0] = entries(o)[--o->count];
    sift_down(o->arena, sizeof first, o->count);
    if (o->count == 0)
        o->top = o->options.memory_max;
    return size;
}

/* Has at least `size` bytes of the run, or all that it still has, in its window from `at` on. */
static enum error fill(const struct order *o, struct run *run, size_t size, struct why *why)
{
    if (run->window.size - run->at >= size || run->read == run->end)
        return ERR_NONE;
    buf_drop_front(&run->window, run->at);
    run->at = 0;
    uint64_t left = run->end - run->read;
    size_t more = size > ORDER_READ_SIZE ? size : ORDER_READ_SIZE;
    more -= run->window.size;
    if (more > left)
        more = (size_t)left;
    enum error error = tempfile_read(o->fd, buf_reserve(&run->window, more), more, run->read, why);
    if (error)
        return error;
    run->window.size += more;
    run->read += more;
    return ERR_NONE;
}

static bool take_number(struct run *run, uint64_t *number)
{
    const uint8_t *at = run->window.data + run->at;
    bool whole = varint_take(&at, run->window.data + run->window.size, number);
    run->at = (size_t)(at - run->window.data);
    return whole;
}

/* A window that a large result has made large is given back. What of it is behind is read again. */
static void shrink_window(struct run *run)
{
    if (run->window.capacity <= KEEP_WINDOW)
        return;
    run->read -= run->window.size - run->at;
    run->at = 0;
    buf_free(&run->window);
}

static void remove_first_run(struct order *o)
{
    struct run *run = &o->runs[0];
    uint64_t size = place_size(run->begin, run->end);
    buf_free(&run->window);
    if (fallocate(o->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)run->begin,
                  (off_t)size) == 0)
        o->spooled -= size;
    *run = o->runs[--o->run_count];
    if (o->run_count == 0 && ftruncate(o->fd, 0) == 0)
        o->file_end = o->spooled = 0;
}

static enum error release_from_run(struct order *o, size_t *size, struct why *why)
{
    struct run *run = &o->runs[0];
    uint64_t out_size = 0, err_size = 0, to_next = 0;
    enum error error = fill(o, run, 2 * VARINT_SIZE_MAX, why);
    if (error)
        return error;
    size_t record = run->at;
    bool good = take_number(run, &out_size) && take_number(run, &err_size);
    size_t head = run->at - record;
    *size = (size_t)(out_size + err_size);
    run->at = record; /* so that filling keeps it, and an error leaves it as it was */
    if (good && (error = fill(o, run, head + *size + VARINT_SIZE_MAX, why)))
        return error;
    good = good && run->window.size - run->at >= head + *size;
    record = run->at;
    run->at += head + (good ? *size : 0);
    if (!good || !take_number(run, &to_next))
        return fail(why, ERR_IO, "the temporary file of -k has been damaged");
    struct bytes out = {run->window.data + record + head, (size_t)out_size};
    release(o, out, (struct bytes){out.data + out_size, (size_t)err_size});
    run->seq += to_next;
    if (to_next)
        shrink_window(run);
    else
        remove_first_run(o);
    sift_down(o->runs, sizeof *o->runs, o->run_count);
    return ERR_NONE;
}

static bool ready_in_arena(const struct order *o)
{
    return o->count && entries(o)[0].seq == o->next;
}

bool order_ready(const struct order *o)
{
    return ready_in_arena(o) || (o->run_count && o->runs[0].seq == o->next);
}

enum error order_release(struct order *o, size_t max_bytes, struct why *why)
{
    size_t released = 0;
    while (order_ready(o)) {
        size_t size;
        if (ready_in_arena(o)) {
            size = release_from_arena(o);
        } else {
            enum error error = release_from_run(o, &size, why);
            if (error)
                return error;
        }
        o->waiting--;
        released += size + RELEASE_COST;
        if (released >= max_bytes)
            break;
    }
    return ERR_NONE;
}

uint64_t order_waiting_for(const struct order *o)
{
    return o->next;
}

uint64_t order_waiting(const struct order *o)
{
    return o->waiting;
}

uint64_t order_spooled_bytes(const struct order *o)
{
    return o->spooled;
}

bool order_full(const struct order *o)
{
    return o->spooled >= o->options.spool_max;
}

size_t order_memory_bytes(const struct order *o)
{
    size_t size = sizeof *o + o->options.memory_max + o->run_capacity * sizeof *o->runs +
                  o->write.capacity + seqset_memory_bytes(&o->skipped);
    for (size_t i = 0; i < o->run_count; i++)
        size += o->runs[i].window.capacity;
    return size;
}
