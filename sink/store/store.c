/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/store/store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/xalloc.h"
#include "sink/store/store_open.h"
#include "sink/store/store_rows.h"

enum { STORE_FILES_MAX = 2 };

enum statement {
    BEGIN,
    COMMIT,
    ROLLBACK,
    PUT_RESULT,
    PUT_ATTEMPT,
    PUT_FILE,
    SET_STRANGE,
    GET_FILE,
    SET_LIFE,
    REOPEN,
    SET_COMMAND,
    FINISH,
    GET_HASHES,
    GET_RESULT,
    GET_ATTEMPTS,
    STATEMENTS
};

static const char *const texts[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [PUT_RESULT] =
        "INSERT OR IGNORE INTO task_result (seq, status, exit, signal, attempts, worker, start, "
        "seconds, task, hash, stdout, stderr, record, cut) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
        "?, ?, ?, ?)",
    [PUT_ATTEMPT] =
        "INSERT INTO task_attempt (seq, attempt, incarnation, status, exit, signal, worker, start, "
        "seconds, stdout, stderr, cut) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [PUT_FILE] = "INSERT OR REPLACE INTO file (name, length, next) VALUES (?, ?, ?)",
    [SET_STRANGE] = "UPDATE task_result SET strange = 1 WHERE seq BETWEEN ? AND ?",
    [GET_FILE] = "SELECT length, next FROM file WHERE name = ?",
    [SET_LIFE] = "UPDATE job SET incarnation = ?",
    [REOPEN] = "UPDATE job SET closed = NULL, total = NULL",
    [SET_COMMAND] = "UPDATE job SET executor = ?, command = ?, command_hash = ?",
    [FINISH] = "UPDATE job SET closed = ?, total = ?, not_run = ?, doubled = ?, workers = ?, "
               "input_cut = ?",
    [GET_HASHES] = "SELECT seq, hash FROM task_result WHERE seq >= ? AND (status = 'ok' OR NOT ?) "
                   "ORDER BY seq LIMIT ?",
    [GET_RESULT] = "SELECT status, exit, signal, attempts, worker, start, seconds, task, stdout, "
                   "stderr, record, cut FROM task_result WHERE seq = ?",
    [GET_ATTEMPTS] = "SELECT status, exit, signal, attempt, worker, start, seconds, stdout, stderr "
                     "FROM task_attempt WHERE seq = ? ORDER BY incarnation, attempt, rowid",
};

struct store {
    struct store_opened opened;
    sqlite3_stmt *statements[STATEMENTS];
    struct seqset strange; /* results that are to be marked so */
    struct buf pending;    /* struct pending_result and what belongs to it, one behind the other */
    struct store_file files[STORE_FILES_MAX];
    size_t file_count;
    bool files_changed;
    bool reopens;
    struct store_command command;
    bool command_changed;
    struct store_closing closing;
    bool finishes;
};

/* A result that waits, in front of its worker's name and its record. */
struct pending_result {
    uint64_t seq;
    struct attempt attempt;
    uint32_t tries;
    size_t worker_size;
    size_t record_size;
};

/* Runs a statement that gives no rows. */
static enum error store_step(struct store *s, enum statement which, struct why *why)
{
    sqlite3_stmt *statement = s->statements[which];
    int rc = sqlite3_step(statement);
    enum error error = rc == SQLITE_DONE ? ERR_NONE : store_failure(&s->opened.db, why);
    sqlite3_reset(statement);
    return error;
}

/* ---- opening ---- */

static enum error prepare(struct store *s, struct why *why)
{
    for (int i = 0; i < STATEMENTS; i++)
        if (sqlite3_prepare_v3(s->opened.db.db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &s->statements[i], NULL))
            return store_failure(&s->opened.db, why);
    return ERR_NONE;
}

enum error store_open(struct store **store, const struct store_options *options,
                      struct store_past *past, struct why *why)
{
    struct store *s = xcalloc(1, sizeof *s);
    *past = (struct store_past){0};
    s->opened = (struct store_opened){.lock = -1, .options = *options};
    enum error error = store_open_file(&s->opened, &past->is_new, why);
    error = error ? error : prepare(s, why);
    error = error ? error : store_open_past(&s->opened, past, why);
    if (error) {
        store_past_free(past);
        store_close(&s);
    } else {
        *store = s;
    }
    return error;
}

void store_past_free(struct store_past *past)
{
    seqset_free(&past->stored);
    free(past->executor);
    free(past->text);
    *past = (struct store_past){0};
}

void store_close(struct store **store)
{
    struct store *s = *store;
    if (!s)
        return;
    *store = NULL;
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(s->statements[i]);
    store_open_close(&s->opened);
    buf_free(&s->pending);
    seqset_free(&s->strange);
    free(s);
}

/* ---- what is to be committed ---- */

/* What is put in the place of bytes that no row has room for. */
static struct bytes that_fits(struct bytes bytes, struct buf *words)
{
    if (bytes.size <= OUTPUT_IN_MEMORY_MAX)
        return bytes;
    buf_printf(words, "zfarm: an output of %zu bytes, which is more than a row takes\n",
               bytes.size);
    return buf_bytes(words);
}

void store_put(struct store *s, const struct result *result)
{
    struct buf out = {0}, err = {0};
    struct result fitting = *result, *r = &fitting;
    fitting.out = that_fits(result->out, &out);
    fitting.err = that_fits(result->err, &err);
    size_t at = s->pending.size;
    struct pending_result head = {
        .seq = r->seq, .attempt = r->attempt, .tries = r->tries, .worker_size = r->worker.size};
    buf_put(&s->pending, &head, sizeof head);
    buf_put_bytes(&s->pending, r->worker);
    size_t record_at = s->pending.size;
    result_put(&s->pending, r);
    head.record_size = s->pending.size - record_at;
    memcpy(s->pending.data + at, &head, sizeof head);
    buf_free(&out);
    buf_free(&err);
}

void store_set_strange(struct store *s, const struct seqset *tasks)
{
    seqset_add_all(&s->strange, tasks);
}

size_t store_pending_bytes(const struct store *s)
{
    return s->pending.size;
}

void store_set_file(struct store *s, const struct store_file *file)
{
    size_t i = 0;
    while (i < s->file_count && strcmp(s->files[i].name, file->name) != 0)
        i++;
    assert(i < STORE_FILES_MAX);
    if (i == s->file_count)
        s->file_count++;
    else if (s->files[i].length == file->length && s->files[i].next == file->next)
        return;
    s->files[i] = *file;
    s->files_changed = true;
}

static void set_command(struct store *s, const struct store_command *command)
{
    s->command = *command;
    s->command_changed = true;
}

void store_reopen(struct store *s)
{
    s->reopens = true;
    if (s->opened.options.command.text)
        set_command(s, &s->opened.options.command);
}

void store_set_command_hash(struct store *s, struct hash hash)
{
    set_command(s, &(struct store_command){.hash = hash});
}

void store_finish(struct store *s, const struct store_closing *closing)
{
    s->closing = *closing;
    s->finishes = true;
}

bool store_is_dirty(const struct store *s)
{
    return s->pending.size || !seqset_empty(&s->strange) || s->files_changed || s->reopens ||
           s->command_changed || s->finishes;
}

/* ---- rows ---- */

/* The next result that waits at `*at`. */
static struct result take_pending(const struct store *s, size_t *at)
{
    struct pending_result head;
    memcpy(&head, s->pending.data + *at, sizeof head);
    const uint8_t *worker = s->pending.data + *at + sizeof head;
    struct bytes record = {worker + head.worker_size, head.record_size};
    struct result r = {0};
    enum error error = result_take(&record, &r);
    assert(!error); /* store_put has made it */
    r.seq = head.seq;
    r.attempt = head.attempt;
    r.tries = head.tries;
    r.worker = (struct bytes){worker, head.worker_size};
    *at += sizeof head + head.worker_size + head.record_size;
    return r;
}

static enum error insert_pending(struct store *s, struct why *why)
{
    struct rows_scratch scratch = {0};
    enum error error = ERR_NONE;
    for (size_t at = 0; at < s->pending.size && !error;) {
        struct result r = take_pending(s, &at);
        if (r.final)
            rows_bind_result(s->statements[PUT_RESULT], &r, &scratch);
        else
            rows_bind_attempt(s->statements[PUT_ATTEMPT], &r);
        error = store_step(s, r.final ? PUT_RESULT : PUT_ATTEMPT, why);
    }
    buf_free(&scratch.joined);
    return error;
}

static enum error store_mark_strange(struct store *s, struct why *why)
{
    sqlite3_stmt *row = s->statements[SET_STRANGE];
    enum error error = ERR_NONE;
    for (size_t i = 0; i < s->strange.count && !error; i++) {
        sqlite3_bind_int64(row, 1, (int64_t)s->strange.ranges[i].first);
        sqlite3_bind_int64(row, 2, (int64_t)s->strange.ranges[i].last);
        error = store_step(s, SET_STRANGE, why);
    }
    return error;
}

static enum error write_files(struct store *s, struct why *why)
{
    sqlite3_stmt *row = s->statements[PUT_FILE];
    enum error error = ERR_NONE;
    for (size_t i = 0; i < s->file_count && !error; i++) {
        sqlite3_bind_text(row, 1, s->files[i].name, -1, SQLITE_STATIC);
        sqlite3_bind_int64(row, 2, (int64_t)s->files[i].length);
        sqlite3_bind_int64(row, 3, (int64_t)s->files[i].next);
        error = store_step(s, PUT_FILE, why);
    }
    return error;
}

/* The results of the round before make room for those of this one. */
static enum error move_failed(struct store *s, struct why *why)
{
    char *text = sqlite3_mprintf(
        "INSERT INTO task_attempt (seq, attempt, incarnation, status, exit, signal, worker, start, "
        "seconds, stdout, stderr, cut, rss, user, system) SELECT seq, attempts, (SELECT "
        "incarnation FROM job), status, exit, signal, worker, start, seconds, stdout, stderr, cut, "
        "rss, user, system FROM task_result WHERE status <> 'ok';"
        "DELETE FROM task_result WHERE status <> 'ok';"
        "DELETE FROM file WHERE name = %Q;"
        "UPDATE job SET round = %lld",
        s->opened.options.output, (long long)s->opened.options.round);
    enum error error = store_run(&s->opened.db, text, why);
    sqlite3_free(text);
    return error;
}

static enum error open_again(struct store *s, struct why *why)
{
    enum error error = s->opened.retries ? move_failed(s, why) : ERR_NONE;
    return error ? error : store_step(s, REOPEN, why);
}

static enum error write_command(struct store *s, struct why *why)
{
    sqlite3_stmt *row = s->statements[SET_COMMAND];
    uint8_t hash[16];
    rows_put_hash(s->command.hash, hash);
    rows_bind_text(row, 1, s->command.executor);
    rows_bind_text(row, 2, s->command.text);
    sqlite3_bind_blob(row, 3, hash, sizeof hash, SQLITE_TRANSIENT);
    return store_step(s, SET_COMMAND, why);
}

static enum error write_job(struct store *s, struct why *why)
{
    enum error error = s->command_changed ? write_command(s, why) : ERR_NONE;
    if (!error && s->finishes) {
        sqlite3_stmt *row = s->statements[FINISH];
        sqlite3_bind_double(row, 1, (double)clock_realtime_us() / 1e6);
        sqlite3_bind_int64(row, 2, (int64_t)s->closing.total);
        sqlite3_bind_int64(row, 3, (int64_t)s->closing.not_run);
        sqlite3_bind_int64(row, 4, (int64_t)s->closing.doubled);
        sqlite3_bind_int64(row, 5, (int64_t)s->closing.workers);
        sqlite3_bind_int(row, 6, s->closing.input_cut);
        error = store_step(s, FINISH, why);
    }
    return error;
}

static enum error store_commit_pending(struct store *s, struct why *why)
{
    enum error error = store_step(s, BEGIN, why);
    if (error)
        return error;
    error = s->reopens ? open_again(s, why) : ERR_NONE;
    error = error ? error : insert_pending(s, why);
    error = error ? error : store_mark_strange(s, why);
    error = error ? error : write_files(s, why);
    error = error ? error : write_job(s, why);
    error = error ? error : store_step(s, COMMIT, why);
    if (error) {
        store_step(s, ROLLBACK,
                   NULL); /* it may have been rolled back already: that error says nothing */
        return error;
    }
    return ERR_NONE;
}

enum error store_commit(struct store *s, struct why *why)
{
    if (!store_is_dirty(s))
        return ERR_NONE;
    /* That the job is over survives a loss of power in any case, and all before it. */
    bool sync = s->finishes && s->opened.options.durability == STORE_NORMAL;
    enum error error = sync ? store_run(&s->opened.db, "PRAGMA synchronous = FULL", why) : ERR_NONE;
    error = error ? error : store_commit_pending(s, why);
    if (sync)
        store_run(&s->opened.db, "PRAGMA synchronous = NORMAL", NULL);
    if (error)
        return error;
    buf_clear(&s->pending);
    seqset_clear(&s->strange);
    s->opened.retries = s->opened.retries && !s->reopens;
    s->files_changed = s->command_changed = s->finishes = s->reopens = false;
    return ERR_NONE;
}

enum error store_commit_life(struct store *s, uint64_t incarnation, struct why *why)
{
    sqlite3_bind_int64(s->statements[SET_LIFE], 1, (int64_t)incarnation);
    return store_step(s, SET_LIFE, why); /* a statement alone is a transaction */
}

/* ---- reading ---- */

bool store_get_file(struct store *s, struct store_file *file)
{
    sqlite3_stmt *row = s->statements[GET_FILE];
    sqlite3_bind_text(row, 1, file->name, -1, SQLITE_STATIC);
    bool found = sqlite3_step(row) == SQLITE_ROW;
    if (found) {
        file->length = (uint64_t)sqlite3_column_int64(row, 0);
        file->next = (uint64_t)sqlite3_column_int64(row, 1);
    }
    sqlite3_reset(row);
    return found;
}

size_t store_hashes(struct store *s, uint64_t from, struct hashed_task to[static HASHES_MAX])
{
    sqlite3_stmt *row = s->statements[GET_HASHES];
    size_t count = 0;
    sqlite3_bind_int64(row, 1, (int64_t)from);
    sqlite3_bind_int(row, 2, s->opened.retries);
    sqlite3_bind_int64(row, 3, HASHES_MAX);
    for (; sqlite3_step(row) == SQLITE_ROW; count++) {
        to[count] = (struct hashed_task){.seq = (uint64_t)sqlite3_column_int64(row, 0)};
        if (sqlite3_column_bytes(row, 1) == 16)
            to[count].hash = store_hash(sqlite3_column_blob(row, 1));
    }
    sqlite3_reset(row);
    return count;
}

enum error store_read(struct store *s, uint64_t seq,
                      void (*take)(void *context, const struct result *result), void *context,
                      bool *found, struct why *why)
{
    sqlite3_stmt *row = s->statements[GET_RESULT];
    struct buf record = {0};
    sqlite3_bind_int64(row, 1, (int64_t)seq);
    int rc = sqlite3_step(row);
    *found = rc == SQLITE_ROW;
    if (*found) {
        struct result r = rows_result(row, seq, &record);
        take(context, &r);
    }
    enum error error =
        rc == SQLITE_ROW || rc == SQLITE_DONE ? ERR_NONE : store_failure(&s->opened.db, why);
    sqlite3_reset(row);
    buf_free(&record);
    return error;
}

void store_read_attempts(struct store *s, const struct result *result,
                         void (*take)(void *context, const struct result *result), void *context)
{
    sqlite3_stmt *row = s->statements[GET_ATTEMPTS];
    sqlite3_bind_int64(row, 1, (int64_t)result->seq);
    while (sqlite3_step(row) == SQLITE_ROW) {
        struct result r = rows_attempt(row, result->seq);
        take(context, &r);
    }
    sqlite3_reset(row);
    if (result->tries < 2)
        return; /* then none that failed can have come in this life */
    for (size_t at = 0; at < s->pending.size;) {
        struct result r = take_pending(s, &at);
        if (!r.final && r.seq == result->seq)
            take(context, &r);
    }
}
