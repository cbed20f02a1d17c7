/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/outputs.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "sink/joblog.h"
#include "sink/jsonl.h"

/* What has left the order window waits in the writers; more than this is not released. */
enum { RELEASE_BYTES = 1 << 20 };

static void release(void *context, uint64_t seq, struct bytes out, struct bytes err)
{
    struct outputs *o = context;
    (void)seq;
    buf_put_bytes(writer_buf(&o->out), out);
    buf_put_bytes(writer_buf(&o->err), err);
}

enum error outputs_open(struct outputs *o, const struct outputs_options *options, struct why *why)
{
    *o = (struct outputs){.options = *options, .text = {.tag = options->tag}};
    writer_use(&o->err, STDERR_FILENO, "standard error");
    if (options->keep_order) {
        struct order_options order = {ORDER_MEMORY_MAX, options->spool_max, options->tmpdir};
        o->order = order_new(&order, release, o);
    }
    if (!options->file)
        writer_use(&o->out, STDOUT_FILENO, "standard output");
    else if (writer_open(&o->out, options->file, why))
        return ERR_IO;
    if (!options->joblog)
        return ERR_NONE;
    if (writer_open(&o->joblog, options->joblog, why))
        return ERR_IO;
    o->has_joblog = true;
    joblog_put_header(writer_buf(&o->joblog));
    return ERR_NONE;
}

void outputs_close(struct outputs *o)
{
    for (size_t i = 0; i < o->stuck_count; i++) {
        buf_free(&o->stuck[i].out);
        buf_free(&o->stuck[i].err);
    }
    free(o->stuck);
    order_destroy(&o->order);
    buf_free(&o->scratch_out);
    buf_free(&o->scratch_err);
    writer_close(&o->out);
    writer_close(&o->err);
    writer_close(&o->joblog);
}

unsigned outputs_wants(const struct outputs_options *options)
{
    unsigned wants = 0;
    if (options->tag)
        wants |= WANT_TASK;
    if (options->format == FORMAT_JSONL)
        wants |= WANT_TIMES | WANT_TASK;
    if (options->joblog)
        wants |= WANT_TIMES | WANT_TASK | WANT_COMMAND;
    return wants;
}

/* ---- results ---- */

static void format(struct outputs *o, const struct result *r, struct buf *out, struct buf *err)
{
    if (o->options.format == FORMAT_TEXT) {
        text_put(&o->text, r, out, err);
        return;
    }
    jsonl_put(out, r);
    text_put_reason(&o->text, r, err);
}

static void add_stuck(struct outputs *o, uint64_t seq)
{
    o->stuck = xrealloc(o->stuck, (o->stuck_count + 1) * sizeof *o->stuck);
    o->stuck[o->stuck_count++] = (struct outputs_stuck){seq, o->scratch_out, o->scratch_err};
    o->scratch_out = o->scratch_err = (struct buf){0};
}

static void accept_in_order(struct outputs *o, const struct result *r)
{
    bool direct = order_waiting_for(o->order) == r->seq && !order_ready(o->order) &&
                  writer_pending(&o->out) < RELEASE_BYTES;
    if (direct) {
        format(o, r, writer_buf(&o->out), writer_buf(&o->err));
        order_pass(o->order);
        return;
    }
    buf_clear(&o->scratch_out);
    buf_clear(&o->scratch_err);
    format(o, r, &o->scratch_out, &o->scratch_err);
    if (o->stuck_count ||
        order_put(o->order, r->seq, buf_bytes(&o->scratch_out), buf_bytes(&o->scratch_err), NULL))
        add_stuck(o, r->seq);
}

void outputs_accept(struct outputs *o, const struct result *result)
{
    if (o->broken)
        return;
    if (!result->final) { /* also with -k: where it happened, since only results have an order */
        if (o->options.format == FORMAT_JSONL)
            jsonl_put(writer_buf(&o->out), result);
        return;
    }
    if (o->order)
        accept_in_order(o, result);
    else
        format(o, result, writer_buf(&o->out), writer_buf(&o->err));
    if (o->has_joblog)
        joblog_put(writer_buf(&o->joblog), result);
}

void outputs_skip(struct outputs *o, const struct seqset *tasks)
{
    if (!o->order)
        return;
    for (size_t i = 0; i < tasks->count; i++)
        order_skip(o->order, tasks->ranges[i].first, tasks->ranges[i].last);
}

/* ---- writing ---- */

/* Another try for what the disk of the order window had no room for. */
static enum error unstick(struct outputs *o, struct why *why)
{
    size_t done = 0;
    enum error error = ERR_NONE;
    while (done < o->stuck_count && !error) {
        struct outputs_stuck *s = &o->stuck[done];
        error = order_put(o->order, s->seq, buf_bytes(&s->out), buf_bytes(&s->err), why);
        if (!error) {
            buf_free(&s->out);
            buf_free(&s->err);
            done++;
        }
    }
    for (size_t i = done; i < o->stuck_count; i++)
        o->stuck[i - done] = o->stuck[i];
    o->stuck_count -= done;
    return error;
}

static void end_step(struct outputs *o)
{
    if (o->step_count == OUTPUTS_STEPS) /* the newest takes in what came since */
        o->step_count--;
    o->steps[(o->step_first + o->step_count++) % OUTPUTS_STEPS] = (struct outputs_step){
        ++o->given, writer_end(&o->out), writer_end(&o->err), writer_end(&o->joblog)};
}

static void count_stored(struct outputs *o)
{
    bool ordered = o->order && o->stuck_count == 0;
    while (o->step_count) {
        const struct outputs_step *s = &o->steps[o->step_first];
        bool written = writer_written(&o->out) >= s->out && writer_written(&o->err) >= s->err;
        if (!o->broken &&
            ((!ordered && !written) || writer_written(&o->joblog) < s->joblog || o->stuck_count))
            return;
        o->stored = s->step;
        o->step_first = (o->step_first + 1) % OUTPUTS_STEPS;
        o->step_count--;
    }
}

static enum error worse(enum error a, enum error b)
{
    return a == ERR_NONE || (a == ERR_DISK_FULL && b != ERR_NONE) ? b : a;
}

static enum error write_all(struct outputs *o, struct why *why)
{
    enum error error = unstick(o, why);
    struct why other;
    while (o->order && order_ready(o->order) && writer_pending(&o->out) < RELEASE_BYTES) {
        enum error read = order_release(o->order, RELEASE_BYTES, &other);
        if (read) {
            *why = other;
            return read;
        }
        enum error full = writer_flush(&o->out, why);
        if (full)
            return worse(error, full);
    }
    struct writer *writers[] = {&o->out, &o->err, &o->joblog};
    for (size_t i = 0; i < OUTPUTS_WRITERS - (o->has_joblog ? 0 : 1); i++) {
        enum error one = writer_flush(writers[i], &other);
        if (one && worse(error, one) != error)
            *why = other;
        error = worse(error, one);
    }
    return error;
}

enum error outputs_flush(struct outputs *o, struct why *why)
{
    end_step(o);
    enum error error = o->broken ? ERR_NONE : write_all(o, why);
    if (error && error != ERR_DISK_FULL)
        o->broken = true;
    count_stored(o);
    return error;
}

uint64_t outputs_given(const struct outputs *o)
{
    return o->given;
}

uint64_t outputs_stored(const struct outputs *o)
{
    return o->stored;
}

size_t outputs_pending_bytes(const struct outputs *o)
{
    if (o->broken)
        return 0;
    return writer_pending(&o->out) + writer_pending(&o->err) +
           (o->has_joblog ? writer_pending(&o->joblog) : 0);
}

bool outputs_empty(const struct outputs *o)
{
    return o->broken || (outputs_pending_bytes(o) == 0 && o->stuck_count == 0 &&
                         (!o->order || !order_ready(o->order)));
}

bool outputs_is_stuck(const struct outputs *o)
{
    return o->stuck_count > 0;
}

bool outputs_order_full(const struct outputs *o)
{
    return o->order && !o->broken && (order_full(o->order) || o->stuck_count);
}

bool outputs_ready(const struct outputs *o)
{
    return o->order && !o->broken && order_ready(o->order) &&
           writer_pending(&o->out) < RELEASE_BYTES;
}

size_t outputs_blocked_fds(const struct outputs *o, int fds[static OUTPUTS_WRITERS])
{
    const struct writer *writers[] = {&o->out, &o->err, &o->joblog};
    size_t count = 0;
    for (size_t i = 0; i < OUTPUTS_WRITERS - (o->has_joblog ? 0 : 1); i++)
        if (!o->broken && writer_pending(writers[i]) && writer_blocked(writers[i]))
            fds[count++] = writer_fd(writers[i]);
    return count;
}
