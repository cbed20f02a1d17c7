/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/store/stored.h"

#include <stdlib.h>

#include "common/base/xalloc.h"
#include "sink/output/jsonl.h"
#include "sink/store/printer.h"

struct stored {
    struct stored_options options;
    struct output_files *files;
    struct formatter *formatter;
    struct store *store;
    struct store_past past;
    uint64_t output_next; /* the first task that an output that is gone on with lacks, with -k */
    struct seqset uncommitted; /* results that it was given since its last transaction */
    struct printer printer;
    uint64_t given, committed; /* steps */
    bool begun;
    bool failed; /* nothing more can be committed */
};

/* ---- from its beginning to its end ---- */

/* One more in a list with commas. */
static void put_try(void *context, const struct result *r)
{
    struct buf *to = context;
    if (to->size)
        buf_put_byte(to, ',');
    jsonl_put_try(to, r);
}

static void stored_put_tries(void *context, const struct result *r, struct buf *to)
{
    struct stored *s = context;
    store_read_attempts(s->store, r, put_try, to);
}

static void stored_close(void *self)
{
    struct stored *s = self;
    printer_free(&s->printer);
    store_past_free(&s->past);
    seqset_free(&s->uncommitted);
    store_close(&s->store);
    free(s);
}

enum error stored_open(struct stored **stored, const struct stored_options *options,
                       struct output_files *files, struct formatter *formatter, struct why *why)
{
    struct stored *s = xcalloc(1, sizeof *s);
    *s = (struct stored){.options = *options, .files = files, .formatter = formatter};
    enum error error = store_open(&s->store, &options->store, &s->past, why);
    if (error) {
        free(s);
        return error;
    }
    formatter->put_tries = stored_put_tries;
    formatter->context = s;
    *stored = s;
    return ERR_NONE;
}

/* A new round writes its output anew. */
void stored_tell_files(struct stored *s, struct files_options *options)
{
    struct store_file output = {.name = s->options.store.output};
    struct store_file joblog = {.name = s->options.joblog};
    if (!s->past.is_retried && store_get_file(s->store, &output)) {
        options->output_before = (struct file_before){true, output.length};
        s->output_next = output.next;
    }
    if (joblog.name && store_get_file(s->store, &joblog))
        options->joblog_before = (struct file_before){true, joblog.length};
}

/* An output that was not there before gets all that is stored; one that was, what it lacks. */
void stored_plan(struct stored *s)
{
    bool continues = s->files->output_continues, ordered = s->options.keep_order;
    uint64_t next = continues && s->output_next ? s->output_next : 1;
    s->printer = (struct printer){.store = s->store, .ordered = ordered, .next = next};
    if (!continues || ordered)
        printer_add(&s->printer, &s->past.stored);
}

static void stored_begin(void *self)
{
    struct stored *s = self;
    s->begun = true;
    store_reopen(s->store);
}

/* ---- results ---- */

static void stored_accept(void *self, const struct result *r)
{
    struct stored *s = self;
    store_put(s->store, r);
    if (s->files->broken || !r->final)
        return;
    seqset_add(&s->uncommitted, r->seq, r->seq);
    if (!s->printer.ordered)
        formatter_print(s->formatter, r, s->files);
}

/* ---- writing ---- */

static void note_file(struct stored *s, const struct writer *w, const char *name, uint64_t next)
{
    struct store_file file = {
        .name = name, .length = writer_is_plain(w) ? writer_written(w) : 0, .next = next};
    store_set_file(s->store, &file);
}

/* An output that is yet to get what was stored before is not known to the store: the run that takes the job up then
 * writes all of it anew. */
static bool lacks_the_past(const struct stored *s)
{
    return !s->printer.ordered && printer_ready(&s->printer);
}

static void note_files(struct stored *s)
{
    if (s->files->broken)
        return;
    if (!lacks_the_past(s))
        note_file(s, &s->files->out, s->options.store.output,
                  s->printer.ordered ? s->printer.next : 0);
    if (s->files->has_joblog)
        note_file(s, &s->files->joblog, s->options.joblog, 0);
}

/* Knows when the store is no good any more. */
static enum error stored_note_error(struct stored *s, enum error error)
{
    if (error && error != ERR_DISK_FULL)
        s->failed = true;
    return error;
}

/* Rows are committed when all that was printed of them is written. */
static enum error stored_commit(struct stored *s, struct why *why)
{
    if (files_pending_bytes(s->files) || !s->begun)
        return ERR_NONE;
    note_files(s);
    enum error error = stored_note_error(s, store_commit(s->store, why));
    if (error)
        return error;
    s->committed = s->given;
    if (s->printer.ordered)
        printer_add(&s->printer, &s->uncommitted);
    seqset_clear(&s->uncommitted);
    return ERR_NONE;
}

static void stored_print(void *context, const struct result *r)
{
    struct stored *s = context;
    formatter_print(s->formatter, r, s->files);
}

static enum error print_more(struct stored *s, struct why *why)
{
    bool printed = true;
    enum error error = ERR_NONE;
    while (printed && !error && files_have_room(s->files))
        error = printer_turn(&s->printer, stored_print, s, &printed, why);
    return error;
}

static enum error stored_write_all(struct stored *s, struct why *why)
{
    enum error error = s->files->broken ? ERR_NONE : files_flush(s->files, why);
    error = error ? error : stored_commit(s, why);
    if (!error && !s->files->broken && s->begun)
        error = print_more(s, why);
    return error || s->files->broken ? error : files_flush(s->files, why);
}

static enum error stored_flush(void *self, struct why *why)
{
    struct stored *s = self;
    s->given++;
    enum error error = stored_write_all(s, why);
    files_note_error(s->files, error);
    return error;
}

static struct output_state stored_state(const void *self)
{
    const struct stored *s = self;
    size_t unwritten = files_pending_bytes(s->files), uncommitted = store_pending_bytes(s->store);
    bool prints = printer_ready(&s->printer);
    bool is_written = s->files->broken || (!prints && unwritten == 0);
    return (struct output_state){.given = s->given,
                                 .stored = s->committed,
                                 .pending_bytes = unwritten > uncommitted ? unwritten : uncommitted,
                                 .is_ready = prints && s->begun,
                                 .prints = prints || uncommitted,
                                 .is_empty = is_written && !store_is_dirty(s->store)};
}

const struct output_kind stored_output = {.begin = stored_begin,
                                          .accept = stored_accept,
                                          .flush = stored_flush,
                                          .state = stored_state,
                                          .close = stored_close};

/* ---- the job ---- */

const struct store_past *stored_past(const struct stored *s)
{
    return &s->past;
}

bool stored_has_failed(const struct stored *s)
{
    return s->failed;
}

enum error stored_begin_life(struct stored *s, uint64_t incarnation)
{
    struct why why;
    return stored_note_error(s, store_commit_life(s->store, incarnation, &why));
}

size_t stored_hashes(struct stored *s, uint64_t from, struct hashed_task to[static HASHES_MAX])
{
    return store_hashes(s->store, from, to);
}

bool stored_note_command(struct stored *s, struct hash hash)
{
    static const struct hash none;
    struct hash *known = &s->past.before.hash, before = *known;
    const struct store_command *given = &s->options.store.command;
    if (hash_equal(hash, none) || hash_equal(hash, before))
        return false;
    *known = hash;
    if (given->text && hash_equal(hash, given->hash))
        return false; /* zfarm run has told, and looked */
    store_set_command_hash(s->store, hash);
    return !hash_equal(before, none);
}

void stored_mark_strange(struct stored *s, const struct seqset *tasks)
{
    if (s->begun)
        store_set_strange(s->store, tasks);
}

enum error stored_finish(struct stored *s, const struct store_closing *closing, struct why *why)
{
    note_files(s);
    store_finish(s->store, closing);
    return stored_note_error(s, store_commit(s->store, why));
}
