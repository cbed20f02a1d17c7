/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/output/direct.h"

#include <stdlib.h>

#include "common/base/xalloc.h"
#include "sink/output/jsonl.h"
#include "sink/output/steps.h"
#include "sink/output/tries.h"

enum { RELEASE_BYTES = 1 << 20, TRIES_MEMORY_MAX = 4 << 20 };

/* A result that the order window could not take because its disk is full. */
struct direct_stuck {
    uint64_t seq;
    struct buf out, err;
};

struct direct {
    struct output_files *files;
    struct formatter *formatter;
    struct order *order; /* NULL without keep_order */
    struct tries tries;  /* of tasks that have no result yet */
    struct buf scratch_out, scratch_err;
    struct direct_stuck *stuck;
    size_t stuck_count;
    struct output_steps steps;
};

/* ---- from its beginning to its end ---- */

static void direct_put(struct writer *w, struct bytes bytes, struct block *holder)
{
    if (holder)
        writer_put_block(w, holder, bytes);
    else
        buf_put_bytes(writer_buf(w), bytes);
}

static void direct_release(void *context, uint64_t seq, struct bytes out, struct bytes err,
                           struct block *holder)
{
    struct direct *d = context;
    (void)seq;
    direct_put(&d->files->out, out, holder);
    direct_put(&d->files->err, err, holder);
}

static void direct_put_tries(void *context, const struct result *r, struct buf *to)
{
    struct direct *d = context;
    tries_take(&d->tries, r->seq, to);
}

struct direct *direct_new(const struct direct_options *options, struct output_files *files,
                          struct formatter *formatter)
{
    struct direct *d = xcalloc(1, sizeof *d);
    *d = (struct direct){.files = files,
                         .formatter = formatter,
                         .tries = {.tmpdir = options->tmpdir, .memory_max = TRIES_MEMORY_MAX}};
    formatter->put_tries = direct_put_tries;
    formatter->context = d;
    if (options->keep_order) {
        struct order_options order = {ORDER_MEMORY_MAX, options->spool_max, options->tmpdir};
        d->order = order_new(&order, direct_release, d);
    }
    return d;
}

static void direct_close(void *self)
{
    struct direct *d = self;
    for (size_t i = 0; i < d->stuck_count; i++) {
        buf_free(&d->stuck[i].out);
        buf_free(&d->stuck[i].err);
    }
    free(d->stuck);
    tries_free(&d->tries);
    order_destroy(&d->order);
    buf_free(&d->scratch_out);
    buf_free(&d->scratch_err);
    free(d);
}

/* ---- results ---- */

static void add_stuck(struct direct *d, uint64_t seq)
{
    d->stuck = xrealloc(d->stuck, (d->stuck_count + 1) * sizeof *d->stuck);
    d->stuck[d->stuck_count++] = (struct direct_stuck){seq, d->scratch_out, d->scratch_err};
    d->scratch_out = d->scratch_err = (struct buf){0};
}

static void accept_in_order(struct direct *d, const struct result *r)
{
    struct output_files *files = d->files;
    if (formatter_leaves_in_file(d->formatter, r)) {
        order_put_held(d->order, r->seq, r->out, r->err, r->holder);
        text_put_reason(&d->formatter->text, r, writer_buf(&files->err)); /* names its task */
        return;
    }
    if (order_waiting_for(d->order) == r->seq && !order_ready(d->order) && files_have_room(files)) {
        formatter_put(d->formatter, r, writer_buf(&files->out), writer_buf(&files->err));
        order_pass(d->order);
        return;
    }
    buf_clear(&d->scratch_out);
    buf_clear(&d->scratch_err);
    formatter_put(d->formatter, r, &d->scratch_out, &d->scratch_err);
    if (d->stuck_count ||
        order_put(d->order, r->seq, buf_bytes(&d->scratch_out), buf_bytes(&d->scratch_err), NULL))
        add_stuck(d, r->seq);
}

/* For the object of its task. */
static void direct_keep_try(struct direct *d, const struct result *r)
{
    if (!formatter_shows_tries(d->formatter))
        return;
    buf_clear(&d->scratch_out);
    jsonl_put_try(&d->scratch_out, r);
    tries_put(&d->tries, r->seq, r->tries, buf_bytes(&d->scratch_out));
}

static void direct_accept(void *self, const struct result *r)
{
    struct direct *d = self;
    if (d->files->broken)
        return;
    if (!r->final)
        direct_keep_try(d, r);
    else if (d->order)
        accept_in_order(d, r);
    else
        formatter_print(d->formatter, r, d->files);
}

static void direct_skip(void *self, const struct seqset *tasks)
{
    struct direct *d = self;
    for (size_t i = 0; d->order && i < tasks->count; i++)
        order_skip(d->order, tasks->ranges[i].first, tasks->ranges[i].last);
}

/* ---- writing ---- */

/* Another try for what the disk of the order window had no room for. */
static enum error unstick(struct direct *d, struct why *why)
{
    size_t done = 0;
    enum error error = ERR_NONE;
    while (done < d->stuck_count && !error) {
        struct direct_stuck *s = &d->stuck[done];
        error = order_put(d->order, s->seq, buf_bytes(&s->out), buf_bytes(&s->err), why);
        if (!error) {
            buf_free(&s->out);
            buf_free(&s->err);
            done++;
        }
    }
    for (size_t i = done; i < d->stuck_count; i++)
        d->stuck[i - done] = d->stuck[i];
    d->stuck_count -= done;
    return error;
}

static enum error direct_write_all(struct direct *d, struct why *why)
{
    enum error error = tries_unstick(&d->tries, why);
    error = error ? error : unstick(d, why);
    struct why other;
    while (d->order && order_ready(d->order) && files_have_room(d->files)) {
        enum error read = order_release(d->order, RELEASE_BYTES, &other);
        if (read) {
            *why = other;
            return read;
        }
        enum error full = writer_flush(&d->files->out, why);
        if (full)
            return files_worse(error, full);
    }
    enum error full = files_flush(d->files, &other);
    if (full && files_worse(error, full) != error)
        *why = other;
    return files_worse(error, full);
}

static bool direct_is_stuck(const struct direct *d)
{
    return d->stuck_count > 0 || tries_is_stuck(&d->tries);
}

static void direct_count_stored(struct direct *d)
{
    struct files_positions reached = files_written(d->files);
    if (d->order) /* the window has it */
        reached.out = reached.err = UINT64_MAX;
    if (d->files->broken)
        reached = (struct files_positions){UINT64_MAX, UINT64_MAX, UINT64_MAX};
    if (d->files->broken || !direct_is_stuck(d))
        steps_reached(&d->steps, reached);
}

static enum error direct_flush(void *self, struct why *why)
{
    struct direct *d = self;
    steps_end(&d->steps, files_end(d->files));
    enum error error = d->files->broken ? ERR_NONE : direct_write_all(d, why);
    files_note_error(d->files, error);
    direct_count_stored(d);
    return error;
}

static struct output_state direct_state(const void *self)
{
    const struct direct *d = self;
    bool broken = d->files->broken, is_stuck = direct_is_stuck(d);
    bool can_release = d->order && order_ready(d->order);
    size_t pending = files_pending_bytes(d->files);
    return (struct output_state){.given = d->steps.given,
                                 .stored = d->steps.stored,
                                 .pending_bytes = pending,
                                 .is_stuck = is_stuck,
                                 .is_full = d->order && !broken &&
                                            (order_full(d->order) || d->stuck_count),
                                 .is_ready = can_release,
                                 .prints = can_release,
                                 .is_empty = broken || (pending == 0 && !is_stuck && !can_release)};
}

const struct output_kind direct_output = {.accept = direct_accept,
                                          .skip = direct_skip,
                                          .flush = direct_flush,
                                          .state = direct_state,
                                          .close = direct_close};
