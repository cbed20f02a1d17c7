/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/store/store_state.h"

#include <assert.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/utf8.h"

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
    enum error error = rc == SQLITE_DONE ? ERR_NONE : store_failure(s, why);
    sqlite3_reset(statement);
    return error;
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
    if (s->options.command.text)
        set_command(s, &s->options.command);
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
    hash_to_bytes(r->has_hash ? r->hash : task_hash(task), hash);
    sqlite3_bind_blob(row, HASH, hash, 16, SQLITE_STATIC);
    if (r->task.size > STORE_TASK_MAX)
        return;
    buf_clear(joined);
    task_join(task, joined);
    bind_bytes(row, TASK, buf_bytes(joined));
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
    bind_number(row, 14, r->cut, r->cut_pid);
    return store_step(s, PUT_RESULT, why);
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
    bind_number(row, 12, r->cut, r->cut_pid);
    return store_step(s, PUT_ATTEMPT, why);
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
        s->options.output, (long long)s->options.round);
    enum error error = store_run(s, text, why);
    sqlite3_free(text);
    return error;
}

static enum error open_again(struct store *s, struct why *why)
{
    enum error error = s->retries ? move_failed(s, why) : ERR_NONE;
    return error ? error : store_step(s, REOPEN, why);
}

static void bind_text(sqlite3_stmt *row, int at, const char *text)
{
    bind_bytes(row, at, bytes_of(text ? text : ""));
    if (!text)
        sqlite3_bind_null(row, at);
}

static enum error write_command(struct store *s, struct why *why)
{
    sqlite3_stmt *row = s->statements[SET_COMMAND];
    uint8_t hash[16];
    hash_to_bytes(s->command.hash, hash);
    bind_text(row, 1, s->command.executor);
    bind_text(row, 2, s->command.text);
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
    bool sync = s->finishes && s->options.durability == STORE_NORMAL;
    enum error error = sync ? store_run(s, "PRAGMA synchronous = FULL", why) : ERR_NONE;
    error = error ? error : store_commit_pending(s, why);
    if (sync)
        store_run(s, "PRAGMA synchronous = NORMAL", NULL);
    if (error)
        return error;
    buf_clear(&s->pending);
    seqset_clear(&s->strange);
    s->retries = s->retries && !s->reopens;
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
    sqlite3_bind_int(row, 2, s->retries);
    sqlite3_bind_int64(row, 3, HASHES_MAX);
    for (; sqlite3_step(row) == SQLITE_ROW; count++) {
        to[count] = (struct hashed_task){.seq = (uint64_t)sqlite3_column_int64(row, 0)};
        if (sqlite3_column_bytes(row, 1) == 16)
            to[count].hash = store_hash(sqlite3_column_blob(row, 1));
    }
    sqlite3_reset(row);
    return count;
}

struct bytes store_column(sqlite3_stmt *row, int at)
{
    const void *data = sqlite3_column_blob(row, at);
    return (struct bytes){data, (size_t)sqlite3_column_bytes(row, at)};
}

enum result_status store_status(struct bytes word)
{
    for (int i = 0; i < RESULT_STATUS_COUNT; i++)
        if (bytes_equal(word, bytes_of(result_status_word((enum result_status)i))))
            return (enum result_status)i;
    return RESULT_STATUS_COUNT;
}

static struct result result_of_row(sqlite3_stmt *row, uint64_t seq, struct buf *record)
{
    struct result r = {.seq = seq,
                       .final = true,
                       .status = store_status(store_column(row, 0)),
                       .tries = (uint32_t)sqlite3_column_int64(row, 3),
                       .worker = store_column(row, 4),
                       .start_us = (uint64_t)(sqlite3_column_double(row, 5) * 1e6 + 0.5),
                       .duration_ns = (uint64_t)(sqlite3_column_double(row, 6) * 1e9 + 0.5),
                       .out = store_column(row, 8),
                       .err = store_column(row, 9),
                       .task = store_column(row, 10),
                       .cut = sqlite3_column_type(row, 11) != SQLITE_NULL,
                       .cut_pid = (uint64_t)sqlite3_column_int64(row, 11)};
    r.code = (unsigned)sqlite3_column_int(row, r.status == RESULT_SIGNALED ? 2 : 1);
    if (!r.task.size && sqlite3_column_type(row, 7) != SQLITE_NULL) {
        task_put_line(record, store_column(row, 7));
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
    enum error error = rc == SQLITE_ROW || rc == SQLITE_DONE ? ERR_NONE : store_failure(s, why);
    sqlite3_reset(row);
    buf_free(&record);
    return error;
}

static struct result attempt_of_row(sqlite3_stmt *row, uint64_t seq)
{
    struct result r = {.seq = seq,
                       .status = store_status(store_column(row, 0)),
                       .tries = (uint32_t)sqlite3_column_int64(row, 3),
                       .worker = store_column(row, 4),
                       .start_us = (uint64_t)(sqlite3_column_double(row, 5) * 1e6 + 0.5),
                       .duration_ns = (uint64_t)(sqlite3_column_double(row, 6) * 1e9 + 0.5),
                       .out = store_column(row, 7),
                       .err = store_column(row, 8)};
    r.code = (unsigned)sqlite3_column_int(row, r.status == RESULT_SIGNALED ? 2 : 1);
    return r;
}

void store_read_attempts(struct store *s, const struct result *result,
                         void (*take)(void *context, const struct result *result), void *context)
{
    sqlite3_stmt *row = s->statements[GET_ATTEMPTS];
    sqlite3_bind_int64(row, 1, (int64_t)result->seq);
    while (sqlite3_step(row) == SQLITE_ROW) {
        struct result r = attempt_of_row(row, result->seq);
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
