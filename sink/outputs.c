/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/outputs.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/xalloc.h"
#include "sink/output/joblog.h"
#include "sink/output/jsonl.h"

/* What has left the order window waits in the writers; more than this is not released. */
enum { RELEASE_BYTES = 1 << 20, TRIES_MEMORY_MAX = 4 << 20 };

static void outputs_put(struct writer *w, struct bytes bytes, struct block *holder)
{
    if (holder)
        writer_put_block(w, holder, bytes);
    else
        buf_put_bytes(writer_buf(w), bytes);
}

static void outputs_release(void *context, uint64_t seq, struct bytes out, struct bytes err,
                            struct block *holder)
{
    struct outputs *o = context;
    (void)seq;
    outputs_put(&o->out, out, holder);
    outputs_put(&o->err, err, holder);
}

/* One more in a list with commas. */
static void put_try(void *context, const struct result *r)
{
    struct buf *to = context;
    if (to->size)
        buf_put_byte(to, ',');
    jsonl_put_try(to, r);
}

__attribute__((noinline)) static void format_jsonl(struct outputs *o, const struct result *r,
                                                   struct buf *out, struct buf *err)
{
    buf_clear(&o->scratch_tries);
    if (o->store)
        store_read_attempts(o->store, r, put_try, &o->scratch_tries);
    else
        tries_take(&o->tries, r->seq, &o->scratch_tries);
    jsonl_put(out, r, buf_bytes(&o->scratch_tries));
    text_put_reason(&o->text, r, err);
}

static void format(struct outputs *o, const struct result *r, struct buf *out, struct buf *err)
{
    if (o->options.format == FORMAT_TEXT)
        text_put(&o->text, r, out, err);
    else
        format_jsonl(o, r, out, err);
}

static void print(void *context, const struct result *r)
{
    struct outputs *o = context;
    format(o, r, writer_buf(&o->out), writer_buf(&o->err));
}

/* ---- opening ---- */

static const char *output_name(const struct outputs *o)
{
    return o->options.file ? o->options.file : "-";
}

/* Opens a file beside the store where it was left, or anew; *continued says which. */
static enum error outputs_open_file(struct outputs *o, struct writer *w, const char *path,
                                    bool *continued, uint64_t *next, struct why *why)
{
    struct store_file file = {.name = path};
    bool is_output = path == o->options.file; /* which a new round writes anew */
    *continued = o->store && !o->past.is_new && !(is_output && o->past.is_retried) &&
                 access(path, F_OK) == 0 && store_get_file(o->store, &file);
    *next = file.next;
    return *continued ? writer_continue(w, path, file.length, why) : writer_open(w, path, why);
}

static enum error open_output(struct outputs *o, bool *continued, uint64_t *next, struct why *why)
{
    if (o->options.file)
        return outputs_open_file(o, &o->out, o->options.file, continued, next, why);
    struct store_file file = {.name = output_name(o)};
    *continued = o->store && !o->past.is_retried && store_get_file(o->store, &file);
    *next = file.next;
    writer_use(&o->out, STDOUT_FILENO, "standard output");
    return ERR_NONE;
}

/* `-` is standard output: among the results, if these go there as well. */
static enum error open_joblog(struct outputs *o, struct why *why)
{
    bool continued;
    uint64_t next;
    if (strcmp(o->options.joblog, "-") == 0) {
        o->joblog_is_new = true;
        o->joblog_in_out = !o->options.file;
        o->has_joblog = !o->joblog_in_out;
        if (o->has_joblog)
            writer_use(&o->joblog, STDOUT_FILENO, "standard output");
        return ERR_NONE;
    }
    enum error error = outputs_open_file(o, &o->joblog, o->options.joblog, &continued, &next, why);
    if (error)
        return error;
    o->has_joblog = true;
    o->joblog_is_new = !continued || writer_written(&o->joblog) == 0;
    return ERR_NONE;
}

/* An output that was not there before gets all that is stored; one that was, what it lacks. */
static void plan_printing(struct outputs *o, bool continued, uint64_t next)
{
    o->printer = (struct printer){
        .store = o->store, .ordered = o->options.keep_order, .next = next ? next : 1};
    if (o->store && (!continued || o->printer.ordered))
        printer_add(&o->printer, &o->past.stored);
}

static enum error open_store(struct outputs *o, struct why *why)
{
    struct store_options options = {.path = o->options.store,
                                    .durability = o->options.durability,
                                    .job = o->options.job,
                                    .command = o->options.command,
                                    .other_command = o->options.other_command,
                                    .retry_failed = o->options.retry_failed,
                                    .round = o->options.round,
                                    .output = output_name(o)};
    return store_open(&o->store, &options, &o->past, why);
}

enum error outputs_open(struct outputs *o, const struct outputs_options *options, struct why *why)
{
    bool continued = false;
    uint64_t next = 0;
    enum error error = ERR_NONE;
    *o = (struct outputs){.options = *options,
                          .text = {.tag = options->tag},
                          .tries = {.tmpdir = options->tmpdir, .memory_max = TRIES_MEMORY_MAX}};
    if (options->file && strcmp(options->file, "-") == 0)
        o->options.file = NULL;
    writer_use(&o->err, STDERR_FILENO, "standard error");
    if (options->store)
        error = open_store(o, why);
    o->failures = o->past.failures;
    error = error ? error : open_output(o, &continued, &next, why);
    if (!error && options->joblog)
        error = open_joblog(o, why);
    if (error)
        return error;
    plan_printing(o, continued, next);
    if (options->keep_order && !o->store) {
        struct order_options order = {ORDER_MEMORY_MAX, options->spool_max, options->tmpdir};
        o->order = order_new(&order, outputs_release, o);
    }
    return ERR_NONE;
}

void outputs_close(struct outputs *o)
{
    for (size_t i = 0; i < o->stuck_count; i++) {
        buf_free(&o->stuck[i].out);
        buf_free(&o->stuck[i].err);
    }
    free(o->stuck);
    tries_free(&o->tries);
    order_destroy(&o->order);
    printer_free(&o->printer);
    store_past_free(&o->past);
    seqset_free(&o->uncommitted);
    store_close(&o->store);
    buf_free(&o->scratch_out);
    buf_free(&o->scratch_err);
    buf_free(&o->scratch_tries);
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
    if (options->store)
        wants |= STORE_WANTS;
    return wants;
}

/* ---- results ---- */

static void add_stuck(struct outputs *o, uint64_t seq)
{
    o->stuck = xrealloc(o->stuck, (o->stuck_count + 1) * sizeof *o->stuck);
    o->stuck[o->stuck_count++] = (struct outputs_stuck){seq, o->scratch_out, o->scratch_err};
    o->scratch_out = o->scratch_err = (struct buf){0};
}

/* Its bytes go from the file that they are in to the output, if that is to have them as they are. */
static bool goes_from_file(const struct outputs *o, const struct result *r)
{
    return r->holder && o->options.format == FORMAT_TEXT && !o->options.tag;
}

static void print_from_file(struct outputs *o, const struct result *r)
{
    writer_put_block(&o->out, r->holder, r->out);
    writer_put_block(&o->err, r->holder, r->err);
    text_put_end(&o->text, r, writer_buf(&o->err));
}

static void accept_in_order(struct outputs *o, const struct result *r)
{
    if (goes_from_file(o, r)) {
        order_put_held(o->order, r->seq, r->out, r->err, r->holder);
        text_put_reason(&o->text, r, writer_buf(&o->err)); /* names its task */
        return;
    }
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

static struct buf *joblog_buf(struct outputs *o)
{
    return writer_buf(o->joblog_in_out ? &o->out : &o->joblog);
}

/* For the object of its task. With a store, it is there. */
static void keep_try(struct outputs *o, const struct result *r)
{
    if (o->options.format != FORMAT_JSONL || o->store)
        return;
    buf_clear(&o->scratch_tries);
    jsonl_put_try(&o->scratch_tries, r);
    tries_put(&o->tries, r->seq, r->tries, buf_bytes(&o->scratch_tries));
}

void outputs_accept(struct outputs *o, const struct result *result)
{
    outputs_begin(o);
    if (result->status != RESULT_OK && result->final)
        failures_note(&o->failures, result->seq, result->status, result->code);
    if (o->broken && !o->store)
        return;
    if (o->store)
        store_put(o->store, result);
    if (o->broken)
        return;
    if (!result->final) {
        keep_try(o, result);
        return;
    }
    if (o->store)
        seqset_add(&o->uncommitted, result->seq, result->seq);
    if (o->order)
        accept_in_order(o, result);
    else if (!o->printer.ordered && goes_from_file(o, result))
        print_from_file(o, result);
    else if (!o->printer.ordered)
        format(o, result, writer_buf(&o->out), writer_buf(&o->err));
    if (o->has_joblog || o->joblog_in_out)
        joblog_put(joblog_buf(o), result);
}

void outputs_begin(struct outputs *o)
{
    if (o->begun)
        return;
    o->begun = true;
    if (o->store)
        store_reopen(o->store);
    writer_begin(&o->out, NULL); /* an error comes again with the first write */
    if ((o->has_joblog || o->joblog_in_out) && o->joblog_is_new)
        joblog_put_header(joblog_buf(o));
}

bool outputs_has_begun(const struct outputs *o)
{
    return o->begun;
}

void outputs_skip(struct outputs *o, const struct seqset *tasks)
{
    for (size_t i = 0; o->order && i < tasks->count; i++)
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
        if (!o->broken && ((!ordered && !written) || writer_written(&o->joblog) < s->joblog ||
                           outputs_is_stuck(o)))
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

static enum error flush_writers(struct outputs *o, struct why *why)
{
    struct writer *writers[] = {&o->out, &o->err, &o->joblog};
    enum error error = ERR_NONE;
    struct why other;
    for (size_t i = 0; i < OUTPUTS_WRITERS - (o->has_joblog ? 0 : 1); i++) {
        enum error one = writer_flush(writers[i], &other);
        if (one && worse(error, one) != error)
            *why = other;
        error = worse(error, one);
    }
    return error;
}

static enum error outputs_write_all(struct outputs *o, struct why *why)
{
    enum error error = tries_unstick(&o->tries, why);
    error = error ? error : unstick(o, why);
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
    enum error full = flush_writers(o, &other);
    if (full && worse(error, full) != error)
        *why = other;
    return worse(error, full);
}

/* ---- the store ---- */

/* What the writers have not written. */
static size_t unwritten_bytes(const struct outputs *o)
{
    if (o->broken)
        return 0;
    return writer_pending(&o->out) + writer_pending(&o->err) +
           (o->has_joblog ? writer_pending(&o->joblog) : 0);
}

static void note_file(struct outputs *o, const struct writer *w, const char *name, uint64_t next)
{
    struct store_file file = {
        .name = name, .length = writer_is_plain(w) ? writer_written(w) : 0, .next = next};
    store_set_file(o->store, &file);
}

/* An output that is yet to get what was stored before is not known to the store: the run that takes the job up then
 * writes all of it anew. */
static bool lacks_the_past(const struct outputs *o)
{
    return !o->printer.ordered && printer_ready(&o->printer);
}

static void note_files(struct outputs *o)
{
    if (!lacks_the_past(o))
        note_file(o, &o->out, output_name(o), o->printer.ordered ? o->printer.next : 0);
    if (o->has_joblog)
        note_file(o, &o->joblog, o->options.joblog, 0);
}

/* Commits, and knows when the store is no good any more. */
static enum error commit_rows(struct outputs *o, struct why *why)
{
    enum error error = store_commit(o->store, why);
    if (error && error != ERR_DISK_FULL)
        o->store_failed = true;
    return error;
}

/* Rows are committed when all that was printed of them is written. */
static enum error outputs_commit(struct outputs *o, struct why *why)
{
    if (unwritten_bytes(o) || !o->begun)
        return ERR_NONE;
    if (!o->broken)
        note_files(o);
    enum error error = commit_rows(o, why);
    if (error)
        return error;
    o->stored = o->given;
    if (o->printer.ordered)
        printer_add(&o->printer, &o->uncommitted);
    seqset_clear(&o->uncommitted);
    return ERR_NONE;
}

static enum error print_more(struct outputs *o, struct why *why)
{
    bool printed = true;
    enum error error = ERR_NONE;
    while (printed && !error && writer_pending(&o->out) < RELEASE_BYTES)
        error = printer_turn(&o->printer, print, o, &printed, why);
    return error;
}

static enum error flush_with_store(struct outputs *o, struct why *why)
{
    enum error error = o->broken ? ERR_NONE : flush_writers(o, why);
    error = error ? error : outputs_commit(o, why);
    if (!error && !o->broken && o->begun)
        error = print_more(o, why);
    return error ? error : o->broken ? ERR_NONE : flush_writers(o, why);
}

enum error outputs_finish(struct outputs *o, const struct store_closing *closing, struct why *why)
{
    if (!o->store)
        return ERR_NONE;
    if (!o->broken)
        note_files(o);
    store_finish(o->store, closing);
    return commit_rows(o, why);
}

enum error outputs_check_files(const struct outputs *o, struct why *why)
{
    if (!o->begun || o->broken)
        return ERR_NONE;
    enum error error = writer_check(&o->out, why);
    return error || !o->has_joblog ? error : writer_check(&o->joblog, why);
}

void outputs_break(struct outputs *o)
{
    o->broken = true;
}

enum error outputs_begin_life(struct outputs *o, uint64_t incarnation)
{
    struct why why;
    enum error error = store_commit_life(o->store, incarnation, &why);
    if (error && error != ERR_DISK_FULL)
        o->store_failed = true;
    return error;
}

size_t outputs_hashes(struct outputs *o, uint64_t from, struct hashed_task to[static HASHES_MAX])
{
    return store_hashes(o->store, from, to);
}

bool outputs_note_command(struct outputs *o, struct hash hash)
{
    static const struct hash none;
    struct hash *known = &o->past.before.hash, before = *known;
    if (!o->store || hash_equal(hash, none) || hash_equal(hash, before))
        return false;
    *known = hash;
    if (o->options.command.text && hash_equal(hash, o->options.command.hash))
        return false; /* zfarm run has told, and looked */
    store_set_command_hash(o->store, hash);
    return !hash_equal(before, none);
}

void outputs_mark_strange(struct outputs *o, const struct seqset *tasks)
{
    if (o->store && o->begun)
        store_set_strange(o->store, tasks);
}

bool outputs_store_failed(const struct outputs *o)
{
    return o->store_failed;
}

/* ---- a step ---- */

enum error outputs_flush(struct outputs *o, struct why *why)
{
    if (o->store) {
        o->given++;
        enum error error = flush_with_store(o, why);
        if (error && error != ERR_DISK_FULL)
            o->broken = true;
        return error;
    }
    end_step(o);
    enum error error = o->broken ? ERR_NONE : outputs_write_all(o, why);
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

bool outputs_goes_to_terminal(const struct outputs *o)
{
    bool prints = writer_pending(&o->out) || (o->order && order_ready(o->order)) ||
                  (o->store && (store_pending_bytes(o->store) || printer_ready(&o->printer)));
    return !o->broken &&
           ((prints && o->out.is_terminal) || (writer_pending(&o->err) && o->err.is_terminal));
}

size_t outputs_pending_bytes(const struct outputs *o)
{
    size_t unwritten = unwritten_bytes(o),
           uncommitted = o->store ? store_pending_bytes(o->store) : 0;
    return unwritten > uncommitted ? unwritten : uncommitted;
}

bool outputs_empty(struct outputs *o)
{
    if (o->store && (store_is_dirty(o->store) || (!o->broken && printer_ready(&o->printer))))
        return false;
    return o->broken || (unwritten_bytes(o) == 0 && !outputs_is_stuck(o) &&
                         (!o->order || !order_ready(o->order)));
}

bool outputs_is_stuck(const struct outputs *o)
{
    return o->stuck_count > 0 || tries_is_stuck(&o->tries);
}

bool outputs_order_full(const struct outputs *o)
{
    return o->order && !o->broken && (order_full(o->order) || o->stuck_count);
}

bool outputs_ready(struct outputs *o)
{
    bool more =
        o->order ? order_ready(o->order) : o->store && o->begun && printer_ready(&o->printer);
    if (!o->broken && (writer_tired(&o->out) || writer_tired(&o->err)))
        return true;
    return more && !o->broken && writer_pending(&o->out) < RELEASE_BYTES;
}

uint64_t outputs_written_bytes(const struct outputs *o)
{
    return writer_written(&o->out) + writer_written(&o->err) + writer_written(&o->joblog);
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
