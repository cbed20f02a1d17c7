/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "sink/store_schema.h"
#include "sink/utf8.h"

enum { CHECKPOINT_PAGES = 4000, FILES_MAX = 2 };

enum statement {
    BEGIN,
    COMMIT,
    ROLLBACK,
    PUT_RESULT,
    PUT_ATTEMPT,
    PUT_FILE,
    GET_FILE,
    REOPEN,
    FINISH,
    GET_HASHES,
    GET_RESULT,
    STATEMENTS
};

static const char *const texts[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [PUT_RESULT] =
        "INSERT OR IGNORE INTO result (seq, status, exit, signal, attempts, worker, start, "
        "seconds, task, hash, stdout, stderr, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
        "?, ?, ?)",
    [PUT_ATTEMPT] = "INSERT INTO attempt (seq, attempt, incarnation, status, exit, signal, worker, "
                    "start, seconds, stdout, stderr) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [PUT_FILE] = "INSERT OR REPLACE INTO file (name, length, next) VALUES (?, ?, ?)",
    [GET_FILE] = "SELECT length, next FROM file WHERE name = ?",
    [REOPEN] = "UPDATE job SET closed = NULL, total = NULL, incarnation = ?",
    [FINISH] = "UPDATE job SET closed = ?, total = ?, not_run = ?, doubled = ?, workers = ?",
    [GET_HASHES] = "SELECT seq, hash FROM result WHERE seq >= ? ORDER BY seq LIMIT ?",
    [GET_RESULT] = "SELECT status, exit, signal, attempts, worker, start, seconds, task, stdout, "
                   "stderr, record FROM result WHERE seq = ?",
};

struct store {
    char *path;
    int lock; /* a descriptor of the file: closed after SQLite's, or its own locks would go with it */
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
    struct buf pending; /* struct pending_result and what belongs to it, one behind the other */
    struct store_file files[FILES_MAX];
    size_t file_count;
    bool files_changed;
    uint64_t reopen; /* incarnation to be noted; 0: none */
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

/* ---- errors ---- */

/* Whether a write failed, which may work later. (What the system said of it SQLite does not keep.) */
static bool no_room(sqlite3 *db)
{
    int code = sqlite3_extended_errcode(db);
    return (code & 0xff) == SQLITE_FULL || code == SQLITE_IOERR_WRITE ||
           code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_TRUNCATE ||
           code == SQLITE_IOERR_SHMSIZE;
}

/* What SQLite says of the last call that failed. */
static enum error failed(const struct store *s, struct why *why)
{
    int code = sqlite3_errcode(s->db) & 0xff;
    if (no_room(s->db))
        return fail(why, ERR_DISK_FULL,
                    "cannot write to the store %s: %s; nothing is lost, make room", s->path,
                    sqlite3_errmsg(s->db));
    if (code == SQLITE_BUSY || code == SQLITE_LOCKED)
        return fail(why, ERR_DISK_FULL,
                    "cannot write to the store %s: another program holds it locked; nothing is "
                    "lost, end it",
                    s->path);
    if (code == SQLITE_NOTADB)
        return fail(why, ERR_INVALID, "%s is no store of zfarm: it is no SQLite database", s->path);
    return fail(why, ERR_IO, "the store %s cannot be used: %s", s->path, sqlite3_errmsg(s->db));
}

static enum error run(struct store *s, const char *sql, struct why *why)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) ? failed(s, why) : ERR_NONE;
}

/* Runs a statement that gives no rows. */
static enum error step(struct store *s, enum statement which, struct why *why)
{
    sqlite3_stmt *statement = s->statements[which];
    int rc = sqlite3_step(statement);
    enum error error = rc == SQLITE_DONE ? ERR_NONE : failed(s, why);
    sqlite3_reset(statement);
    return error;
}

/* ---- opening ---- */

static enum error lock(struct store *s, struct why *why)
{
    s->lock = open(s->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (s->lock < 0)
        return fail(why, errno == EACCES ? ERR_ACCESS : ERR_IO, "cannot open the store %s: %s",
                    s->path, strerror(errno));
    if (flock(s->lock, LOCK_EX | LOCK_NB))
        return fail(why, ERR_IN_USE,
                    "the store %s is in use by another sink; end that one, or give "
                    "another file",
                    s->path);
    return ERR_NONE;
}

static enum error number_of(struct store *s, const char *sql, int64_t *number, struct why *why)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(s->db, sql, -1, &statement, NULL))
        return failed(s, why);
    int rc = sqlite3_step(statement);
    *number = rc == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    enum error error = rc == SQLITE_ROW || rc == SQLITE_DONE ? ERR_NONE : failed(s, why);
    sqlite3_finalize(statement);
    return error;
}

static enum error create(struct store *s, uint64_t job, struct why *why)
{
    char *text = xasprintf(
        "BEGIN IMMEDIATE; PRAGMA application_id = %d; PRAGMA user_version = %d; %s "
        "INSERT INTO job (id, job, incarnation, started) VALUES (1, %" PRId64 ", 0, %.6f); COMMIT;",
        STORE_APPLICATION, STORE_SCHEMA, store_schema, (int64_t)job,
        (double)clock_realtime_us() / 1e6);
    enum error error = run(s, text, why);
    free(text);
    return error;
}

/* Whose file is this? An empty one becomes a store. */
static enum error identify(struct store *s, uint64_t job, struct store_past *past, struct why *why)
{
    int64_t application = 0, version = 0, tables = 0;
    enum error error = number_of(s, "PRAGMA application_id", &application, why);
    error = error ? error : number_of(s, "PRAGMA user_version", &version, why);
    error = error ? error : number_of(s, "SELECT count(*) FROM sqlite_master", &tables, why);
    if (error)
        return error;
    past->is_new = tables == 0;
    if (past->is_new)
        return create(s, job, why);
    if (application != STORE_APPLICATION)
        return fail(why, ERR_INVALID, "%s is no store of zfarm but another SQLite database",
                    s->path);
    if (version > STORE_SCHEMA)
        return fail(why, ERR_VERSION,
                    "the store %s was made by a newer zfarm (schema %" PRId64 ", this one has %d): "
                    "use that one",
                    s->path, version, STORE_SCHEMA);
    return ERR_NONE;
}

static enum error connect_to(struct store *s, struct why *why)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(s->path, &s->db, flags, NULL))
        return failed(s, why);
    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_busy_timeout(s->db, 1000); /* somebody who reads may hold it for a moment */
    return run(s, "PRAGMA synchronous = FULL", why);
}

/* That it was opened once more survives a loss of power in any case: the ventilator tells by it which of
 * two sinks is the later one. */
static enum error count_opening(struct store *s, enum store_durability durability, struct why *why)
{
    enum error error = run(s, "UPDATE job SET opened = opened + 1", why);
    if (!error && durability == STORE_NORMAL)
        error = run(s, "PRAGMA synchronous = NORMAL", why);
    return error;
}

static enum error prepare(struct store *s, struct why *why)
{
    char *checkpoint =
        xasprintf("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = %d", CHECKPOINT_PAGES);
    enum error error = run(s, checkpoint, why);
    free(checkpoint);
    for (int i = 0; i < STATEMENTS && !error; i++)
        if (sqlite3_prepare_v3(s->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &s->statements[i],
                               NULL))
            error = failed(s, why);
    return error;
}

/* ---- the past ---- */

static enum error read_job(struct store *s, struct store_past *past, struct why *why)
{
    sqlite3_stmt *row = NULL;
    static const char text[] =
        "SELECT job, incarnation, closed IS NOT NULL, total, doubled, opened FROM job";
    if (sqlite3_prepare_v2(s->db, text, -1, &row, NULL))
        return failed(s, why);
    bool found = sqlite3_step(row) == SQLITE_ROW;
    if (found) {
        past->job = (uint64_t)sqlite3_column_int64(row, 0);
        past->incarnation = (uint64_t)sqlite3_column_int64(row, 1);
        past->closed = sqlite3_column_int(row, 2);
        past->total = (uint64_t)sqlite3_column_int64(row, 3);
        past->doubled = (uint64_t)sqlite3_column_int64(row, 4);
        past->opening = (uint64_t)sqlite3_column_int64(row, 5);
    }
    sqlite3_finalize(row);
    return found ? ERR_NONE
                 : fail(why, ERR_INVALID, "the store %s has no job in it: it is damaged", s->path);
}

static enum error read_results(struct store *s, struct store_past *past, struct why *why)
{
    sqlite3_stmt *row = NULL;
    if (sqlite3_prepare_v2(s->db, "SELECT seq, status FROM result ORDER BY seq", -1, &row, NULL))
        return failed(s, why);
    int rc;
    while ((rc = sqlite3_step(row)) == SQLITE_ROW) {
        uint64_t seq = (uint64_t)sqlite3_column_int64(row, 0);
        const char *status = (const char *)sqlite3_column_text(row, 1);
        seqset_add(&past->stored, seq, seq);
        if (strcmp(status, "ok") == 0)
            past->ok++;
        else if (strcmp(status, "lost") == 0)
            past->lost++;
        else
            past->failed++;
    }
    sqlite3_finalize(row);
    return rc == SQLITE_DONE ? ERR_NONE : failed(s, why);
}

enum error store_open(struct store **store, const char *path, enum store_durability durability,
                      uint64_t job, struct store_past *past, struct why *why)
{
    struct store *s = xcalloc(1, sizeof *s);
    *past = (struct store_past){0};
    s->path = xstrdup(path);
    enum error error = lock(s, why);
    error = error ? error : connect_to(s, why);
    error = error ? error : identify(s, job, past, why);
    error = error ? error : prepare(s, why);
    error = error ? error : count_opening(s, durability, why);
    error = error ? error : read_job(s, past, why);
    error = error ? error : read_results(s, past, why);
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
}

void store_close(struct store **store)
{
    struct store *s = *store;
    if (!s)
        return;
    *store = NULL;
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(s->statements[i]);
    sqlite3_close(s->db);
    if (s->lock >= 0)
        close(s->lock);
    buf_free(&s->pending);
    free(s->path);
    free(s);
}

/* ---- what is to be committed ---- */

void store_put(struct store *s, const struct result *r)
{
    size_t at = s->pending.size;
    struct pending_result head = {
        .seq = r->seq, .attempt = r->attempt, .tries = r->tries, .worker_size = r->worker.size};
    buf_put(&s->pending, &head, sizeof head);
    buf_put_bytes(&s->pending, r->worker);
    size_t record_at = s->pending.size;
    result_put(&s->pending, r);
    head.record_size = s->pending.size - record_at;
    memcpy(s->pending.data + at, &head, sizeof head);
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
    assert(i < FILES_MAX);
    if (i == s->file_count)
        s->file_count++;
    else if (s->files[i].length == file->length && s->files[i].next == file->next)
        return;
    s->files[i] = *file;
    s->files_changed = true;
}

void store_reopen(struct store *s, uint64_t incarnation)
{
    s->reopen = incarnation;
}

void store_finish(struct store *s, const struct store_closing *closing)
{
    s->closing = *closing;
    s->finishes = true;
}

bool store_is_dirty(const struct store *s)
{
    return s->pending.size || s->files_changed || s->reopen || s->finishes;
}

/* ---- rows ---- */

static void bind_bytes(sqlite3_stmt *row, int at, struct bytes bytes)
{
    const void *data = bytes.size ? (const void *)bytes.data : "";
    if (utf8_is_valid(bytes) && (!bytes.size || !memchr(data, '\0', bytes.size)))
        sqlite3_bind_text64(row, at, data, bytes.size, SQLITE_STATIC, SQLITE_UTF8);
    else
        sqlite3_bind_blob64(row, at, data, bytes.size, SQLITE_STATIC);
}

static void bind_number(sqlite3_stmt *row, int at, bool there, uint64_t number)
{
    if (there)
        sqlite3_bind_int64(row, at, (int64_t)number);
    else
        sqlite3_bind_null(row, at);
}

static void bind_seconds(sqlite3_stmt *row, int at, bool there, double seconds)
{
    if (there)
        sqlite3_bind_double(row, at, seconds);
    else
        sqlite3_bind_null(row, at);
}

/* status, exit, signal in three columns from `at` on. */
static void bind_status(sqlite3_stmt *row, int at, const struct result *r)
{
    sqlite3_bind_text(row, at, result_status_word(r->status), -1, SQLITE_STATIC);
    bool exited = r->status == RESULT_OK || r->status == RESULT_EXITED;
    bind_number(row, at + 1, exited, r->code);
    bind_number(row, at + 2, r->status == RESULT_SIGNALED, r->code);
}

/* worker, start, seconds in three columns from `at` on. */
static void bind_run(sqlite3_stmt *row, int at, const struct result *r)
{
    bool ran = r->start_us != 0;
    if (r->worker.size)
        bind_bytes(row, at, r->worker);
    else
        sqlite3_bind_null(row, at);
    bind_seconds(row, at + 1, ran, (double)r->start_us / 1e6);
    bind_seconds(row, at + 2, ran, (double)r->duration_ns / 1e9);
}

static void hash_to_bytes(struct hash hash, uint8_t bytes[static 16])
{
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(hash.high >> (56 - 8 * i));
        bytes[8 + i] = (uint8_t)(hash.low >> (56 - 8 * i));
    }
}

static struct hash hash_of_bytes(const uint8_t *bytes)
{
    struct hash hash = {0};
    for (int i = 0; i < 8; i++) {
        hash.high = hash.high << 8 | bytes[i];
        hash.low = hash.low << 8 | bytes[8 + i];
    }
    return hash;
}

/* task, hash and, if there are several arguments, the record of the task. */
static void bind_task(sqlite3_stmt *row, const struct result *r, struct buf *joined,
                      uint8_t hash[static 16])
{
    enum { TASK = 9, HASH = 10, RECORD = 13 };
    struct bytes records = r->task;
    struct task task;
    sqlite3_bind_null(row, TASK);
    sqlite3_bind_null(row, HASH);
    sqlite3_bind_null(row, RECORD);
    if (!records.size || task_take(&records, &task))
        return;
    buf_clear(joined);
    task_join(task, joined);
    bind_bytes(row, TASK, buf_bytes(joined));
    hash_to_bytes(r->has_hash ? r->hash : task_hash(task), hash);
    sqlite3_bind_blob(row, HASH, hash, 16, SQLITE_STATIC);
    if (task.many)
        sqlite3_bind_blob64(row, RECORD, r->task.data, r->task.size, SQLITE_STATIC);
}

static enum error insert_result(struct store *s, const struct result *r, struct buf *joined,
                                struct why *why)
{
    sqlite3_stmt *row = s->statements[PUT_RESULT];
    uint8_t hash[16];
    sqlite3_bind_int64(row, 1, (int64_t)r->seq);
    bind_status(row, 2, r);
    sqlite3_bind_int64(row, 5, r->tries);
    bind_run(row, 6, r);
    bind_task(row, r, joined, hash);
    bind_bytes(row, 11, r->out);
    bind_bytes(row, 12, r->err);
    return step(s, PUT_RESULT, why);
}

static enum error insert_attempt(struct store *s, const struct result *r, struct why *why)
{
    sqlite3_stmt *row = s->statements[PUT_ATTEMPT];
    sqlite3_bind_int64(row, 1, (int64_t)r->seq);
    sqlite3_bind_int64(row, 2, r->tries);
    sqlite3_bind_int64(row, 3, (int64_t)r->attempt.incarnation);
    bind_status(row, 4, r);
    bind_run(row, 7, r);
    bind_bytes(row, 10, r->out);
    bind_bytes(row, 11, r->err);
    return step(s, PUT_ATTEMPT, why);
}

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
    struct buf joined = {0};
    enum error error = ERR_NONE;
    for (size_t at = 0; at < s->pending.size && !error;) {
        struct result r = take_pending(s, &at);
        error = r.final ? insert_result(s, &r, &joined, why) : insert_attempt(s, &r, why);
    }
    buf_free(&joined);
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
        error = step(s, PUT_FILE, why);
    }
    return error;
}

static enum error write_job(struct store *s, struct why *why)
{
    enum error error = ERR_NONE;
    if (s->reopen) {
        sqlite3_bind_int64(s->statements[REOPEN], 1, (int64_t)s->reopen);
        error = step(s, REOPEN, why);
    }
    if (!error && s->finishes) {
        sqlite3_stmt *row = s->statements[FINISH];
        sqlite3_bind_double(row, 1, (double)clock_realtime_us() / 1e6);
        sqlite3_bind_int64(row, 2, (int64_t)s->closing.total);
        sqlite3_bind_int64(row, 3, (int64_t)s->closing.not_run);
        sqlite3_bind_int64(row, 4, (int64_t)s->closing.doubled);
        sqlite3_bind_int64(row, 5, (int64_t)s->closing.workers);
        error = step(s, FINISH, why);
    }
    return error;
}

enum error store_commit(struct store *s, struct why *why)
{
    if (!store_is_dirty(s))
        return ERR_NONE;
    enum error error = step(s, BEGIN, why);
    if (error)
        return error;
    error = insert_pending(s, why);
    error = error ? error : write_files(s, why);
    error = error ? error : write_job(s, why);
    error = error ? error : step(s, COMMIT, why);
    if (error) {
        step(s, ROLLBACK, NULL); /* it may have been rolled back already: that error says nothing */
        return error;
    }
    buf_clear(&s->pending);
    s->files_changed = s->finishes = false;
    s->reopen = 0;
    return ERR_NONE;
}

enum error store_commit_life(struct store *s, struct why *why)
{
    sqlite3_bind_int64(s->statements[REOPEN], 1, (int64_t)s->reopen);
    enum error error = step(s, REOPEN, why); /* a statement alone is a transaction */
    if (!error)
        s->reopen = 0;
    return error;
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
    sqlite3_bind_int64(row, 2, HASHES_MAX);
    for (; sqlite3_step(row) == SQLITE_ROW; count++) {
        to[count] = (struct hashed_task){.seq = (uint64_t)sqlite3_column_int64(row, 0)};
        if (sqlite3_column_bytes(row, 1) == 16)
            to[count].hash = hash_of_bytes(sqlite3_column_blob(row, 1));
    }
    sqlite3_reset(row);
    return count;
}

static struct bytes column(sqlite3_stmt *row, int at)
{
    const void *data = sqlite3_column_blob(row, at);
    return (struct bytes){data, (size_t)sqlite3_column_bytes(row, at)};
}

static enum result_status status_of_word(struct bytes word)
{
    for (int i = 0; i < RESULT_STATUS_COUNT; i++)
        if (bytes_equal(word, bytes_of(result_status_word((enum result_status)i))))
            return (enum result_status)i;
    return RESULT_EXITED;
}

static struct result result_of_row(sqlite3_stmt *row, uint64_t seq, struct buf *record)
{
    struct result r = {.seq = seq,
                       .final = true,
                       .status = status_of_word(column(row, 0)),
                       .tries = (uint32_t)sqlite3_column_int64(row, 3),
                       .worker = column(row, 4),
                       .start_us = (uint64_t)(sqlite3_column_double(row, 5) * 1e6 + 0.5),
                       .duration_ns = (uint64_t)(sqlite3_column_double(row, 6) * 1e9 + 0.5),
                       .out = column(row, 8),
                       .err = column(row, 9),
                       .task = column(row, 10)};
    r.code = (unsigned)sqlite3_column_int(row, r.status == RESULT_SIGNALED ? 2 : 1);
    if (!r.task.size && sqlite3_column_type(row, 7) != SQLITE_NULL) {
        task_put_line(record, column(row, 7));
        r.task = buf_bytes(record);
    }
    return r;
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
        struct result r = result_of_row(row, seq, &record);
        take(context, &r);
    }
    enum error error = rc == SQLITE_ROW || rc == SQLITE_DONE ? ERR_NONE : failed(s, why);
    sqlite3_reset(row);
    buf_free(&record);
    return error;
}
