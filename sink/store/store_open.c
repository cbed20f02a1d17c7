/* SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/xalloc.h"
#include "sink/store/store_schema.h"
#include "sink/store/store_state.h"

enum { CHECKPOINT_PAGES = 4000 };

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

/* ---- errors ---- */

/* Whether a write failed, which may work later. (What the system said of it SQLite does not keep.) */
static bool store_open_no_room(sqlite3 *db)
{
    int code = sqlite3_extended_errcode(db);
    return (code & 0xff) == SQLITE_FULL || code == SQLITE_IOERR_WRITE ||
           code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_TRUNCATE ||
           code == SQLITE_IOERR_SHMSIZE;
}

enum error store_is_damaged(const struct store *s, const char *what, struct why *why)
{
    return fail(why, ERR_INVALID,
                "the store %s is damaged: %s; give another file, or what sqlite3 %s .recover makes",
                s->path, what, s->path);
}

enum error store_failure(const struct store *s, struct why *why)
{
    int code = sqlite3_errcode(s->db) & 0xff;
    if (store_open_no_room(s->db))
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
    if (code == SQLITE_CORRUPT)
        return store_is_damaged(s, sqlite3_errmsg(s->db), why);
    return fail(why, ERR_IO, "the store %s cannot be used: %s", s->path, sqlite3_errmsg(s->db));
}

enum error store_run(struct store *s, const char *sql, struct why *why)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) ? store_failure(s, why) : ERR_NONE;
}

/* ---- opening ---- */

/* One byte far behind those that SQLite locks, and as an open file description's lock: so that it can
 * be asked for without being taken, and other descriptors of the file may come and go. */
static struct flock lock_byte(void)
{
    return (struct flock){
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = STORE_APPLICATION, .l_len = 1};
}

bool store_is_in_use(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct flock byte = lock_byte();
    bool in_use = fd >= 0 && fcntl(fd, F_OFD_GETLK, &byte) == 0 && byte.l_type != F_UNLCK;
    if (fd >= 0)
        close(fd);
    return in_use;
}

static enum error store_open_lock(struct store *s, struct why *why)
{
    struct flock byte = lock_byte();
    s->lock = open(s->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (s->lock < 0)
        return fail(why, errno == EACCES ? ERR_ACCESS : ERR_IO, "cannot open the store %s: %s",
                    s->path, strerror(errno));
    if (fcntl(s->lock, F_OFD_SETLK, &byte))
        return fail(why, ERR_IN_USE,
                    "the store %s is in use by another sink; end that one, or give "
                    "another file",
                    s->path);
    return ERR_NONE;
}

static enum error store_open_number_of(struct store *s, const char *sql, int64_t *number,
                                       struct why *why)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(s->db, sql, -1, &statement, NULL))
        return store_failure(s, why);
    int rc = sqlite3_step(statement);
    *number = rc == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    enum error error = rc == SQLITE_ROW || rc == SQLITE_DONE ? ERR_NONE : store_failure(s, why);
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
    enum error error = store_run(s, text, why);
    free(text);
    return error;
}

enum error store_identify(struct store *s, bool reads_only, bool *is_empty, struct why *why)
{
    int64_t application = 0, version = 0, tables = 0;
    enum error error = store_open_number_of(s, "PRAGMA application_id", &application, why);
    error = error ? error : store_open_number_of(s, "PRAGMA user_version", &version, why);
    error =
        error ? error : store_open_number_of(s, "SELECT count(*) FROM sqlite_master", &tables, why);
    *is_empty = !error && tables == 0 && application == 0 && version == 0;
    if (error || *is_empty)
        return error;
    if (application != STORE_APPLICATION)
        return fail(why, ERR_INVALID, "%s is no store of zfarm but another SQLite database",
                    s->path);
    if (version > STORE_SCHEMA)
        return fail(why, ERR_VERSION,
                    "the store %s was made by a newer zfarm (schema %" PRId64 ", this one has %d): "
                    "use that one",
                    s->path, version, STORE_SCHEMA);
    if (version < (reads_only ? STORE_SCHEMA_READ : STORE_SCHEMA))
        return fail(
            why, ERR_VERSION,
            "the store %s was made by an older zfarm (schema %" PRId64 ", this one has %d): "
            "zfarm verify and zfarm failed read it, and only that one goes on with it; give "
            "another file",
            s->path, version, STORE_SCHEMA);
    return ERR_NONE;
}

enum error store_check_pages(struct store *s, const char *check, struct why *why)
{
    sqlite3_stmt *row = NULL;
    char *text = xasprintf("PRAGMA %s(1)", check);
    enum error error =
        sqlite3_prepare_v2(s->db, text, -1, &row, NULL) ? store_failure(s, why) : ERR_NONE;
    free(text);
    if (error)
        return error;
    int rc = sqlite3_step(row);
    const char *said = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(row, 0) : NULL;
    if (!said)
        error = store_failure(s, why);
    else if (strcmp(said, "ok") != 0)
        error = store_is_damaged(s, said, why);
    sqlite3_finalize(row);
    return error;
}

static enum error store_open_connect_to(struct store *s, struct why *why)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(s->path, &s->db, flags, NULL))
        return store_failure(s, why);
    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_busy_timeout(s->db, 1000); /* a reader may hold it for a moment */
    return store_run(s, "PRAGMA synchronous = FULL", why);
}

/* That it was opened once more survives a loss of power in any case: the ventilator tells by it which of
 * two sinks is the later one. */
static enum error count_opening(struct store *s, struct why *why)
{
    enum error error = store_run(s, "UPDATE job SET opened = opened + 1", why);
    if (!error && s->options.durability == STORE_NORMAL)
        error = store_run(s, "PRAGMA synchronous = NORMAL", why);
    return error;
}

static enum error prepare(struct store *s, struct why *why)
{
    char *checkpoint =
        xasprintf("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = %d", CHECKPOINT_PAGES);
    enum error error = store_run(s, checkpoint, why);
    free(checkpoint);
    for (int i = 0; i < STATEMENTS && !error; i++)
        if (sqlite3_prepare_v3(s->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &s->statements[i],
                               NULL))
            error = store_failure(s, why);
    return error;
}

/* ---- the past ---- */

struct hash store_hash(const uint8_t bytes[static 16])
{
    struct hash hash = {0};
    for (int i = 0; i < 8; i++) {
        hash.high = hash.high << 8 | bytes[i];
        hash.low = hash.low << 8 | bytes[8 + i];
    }
    return hash;
}

/* The text in a column, or NULL. */
static char *copy_of(sqlite3_stmt *row, int at)
{
    const char *text = (const char *)sqlite3_column_text(row, at);
    return text ? xstrdup(text) : NULL;
}

/* In a new round that has not begun what failed is there no more. */
static bool begins_round(const struct store_options *options, uint64_t round)
{
    return options->retry_failed && (!options->round || options->round != round);
}

static enum error store_open_read_job(struct store *s, struct store_past *past, struct why *why)
{
    sqlite3_stmt *row = NULL;
    static const char text[] =
        "SELECT job, incarnation, closed IS NOT NULL, total, doubled, opened, "
        "round, executor, command, command_hash, input_cut FROM job";
    if (sqlite3_prepare_v2(s->db, text, -1, &row, NULL))
        return store_failure(s, why);
    bool found = sqlite3_step(row) == SQLITE_ROW;
    if (found) {
        past->job = (uint64_t)sqlite3_column_int64(row, 0);
        past->incarnation = (uint64_t)sqlite3_column_int64(row, 1);
        past->closed = sqlite3_column_int(row, 2);
        past->total = (uint64_t)sqlite3_column_int64(row, 3);
        past->input_cut = sqlite3_column_int(row, 10);
        past->doubled = (uint64_t)sqlite3_column_int64(row, 4);
        past->opening = (uint64_t)sqlite3_column_int64(row, 5) + 1;
        s->retries = begins_round(&s->options, (uint64_t)sqlite3_column_int64(row, 6));
        s->before_executor = copy_of(row, 7);
        s->before_text = copy_of(row, 8);
        past->before =
            (struct store_command){.executor = s->before_executor, .text = s->before_text};
        if (sqlite3_column_bytes(row, 9) == 16)
            past->before.hash = store_hash(sqlite3_column_blob(row, 9));
    }
    sqlite3_finalize(row);
    return found ? ERR_NONE : store_is_damaged(s, "it has no job in it", why);
}

/* What a row says, or what is wrong with it. */
static enum error read_row(struct store *s, sqlite3_stmt *row, uint64_t before,
                           struct store_row *result, struct why *why)
{
    const char *what = NULL;
    int64_t seq = sqlite3_column_int64(row, 0);
    int hash_size = sqlite3_column_bytes(row, 2);
    struct bytes word = {sqlite3_column_blob(row, 1), (size_t)sqlite3_column_bytes(row, 1)};
    *result = (struct store_row){.seq = (uint64_t)seq, .status = store_status(word)};
    if (seq < 1 || (uint64_t)seq <= before)
        what = "has a number that cannot be";
    else if (result->status == RESULT_STATUS_COUNT)
        what = "has a status that there is not";
    else if (sqlite3_column_type(row, 2) != SQLITE_NULL && hash_size != 16)
        what = "has a hash of another length than 16 bytes";
    if (!what) {
        if (hash_size == 16)
            result->hash = store_hash(sqlite3_column_blob(row, 2));
        int code = result->status == RESULT_SIGNALED ? 4 : 3;
        result->code = (unsigned)sqlite3_column_int(row, code);
        return ERR_NONE;
    }
    char *text = xasprintf("the result of task %" PRId64 " %s", seq, what);
    enum error error = store_is_damaged(s, text, why);
    free(text);
    return error;
}

enum error store_next_row(struct store *s, sqlite3_stmt *rows, struct store_row *row, bool *found,
                          struct why *why)
{
    uint64_t before = row->seq;
    int rc = sqlite3_step(rows);
    *found = rc == SQLITE_ROW;
    if (*found)
        return read_row(s, rows, before, row, why);
    return rc == SQLITE_DONE ? ERR_NONE : store_failure(s, why);
}

static void count_past(struct store *s, struct store_past *past, const struct store_row *row)
{
    if (s->retries && row->status != RESULT_OK) {
        past->is_retried = true;
        return;
    }
    seqset_add(&past->stored, row->seq, row->seq);
    failures_note(&past->failures, row->seq, row->status, row->code);
    if (row->status == RESULT_OK)
        past->ok++;
    else if (row->status == RESULT_LOST)
        past->lost++;
    else
        past->failed++;
}

static enum error read_results(struct store *s, struct store_past *past, struct why *why)
{
    sqlite3_stmt *rows = NULL;
    static const char text[] = "SELECT seq, status, hash, exit, signal FROM task_result ORDER BY "
                               "seq";
    if (sqlite3_prepare_v2(s->db, text, -1, &rows, NULL))
        return store_failure(s, why);
    struct store_row row = {0};
    bool found = true;
    enum error error = ERR_NONE;
    while (!error && found) {
        error = store_next_row(s, rows, &row, &found, why);
        if (!error && found)
            count_past(s, past, &row);
    }
    sqlite3_finalize(rows);
    s->retries = past->is_retried;
    if (past->is_retried) {
        past->closed = false;
        past->total = 0;
    }
    return error;
}

/* ---- another COMMAND ---- */

enum { COMMAND_SHOWN = 300, COMMAND_BEFORE = 100 };

/* At most COMMAND_SHOWN bytes, from a little before where two of them begin to differ. */
static void show_command(struct buf *to, const char *text, size_t same)
{
    size_t skipped = same > COMMAND_BEFORE ? same - COMMAND_BEFORE : 0, size = strlen(text);
    bool is_cut = size - skipped > COMMAND_SHOWN;
    buf_printf(to, "%s%.*s%s", skipped ? "..." : "", COMMAND_SHOWN, text + skipped,
               is_cut ? "..." : "");
    buf_put_byte(to, '\0');
}

static enum error refuse_command(const struct store *s, const struct store_command *before,
                                 struct why *why)
{
    static const char advice[] = "give --other-command to keep what is stored and run the rest by "
                                 "this one, or another file";
    const char *now = s->options.command.text;
    size_t same = 0;
    if (!before->text)
        return fail(why, ERR_INVALID,
                    "the store %s was made by another COMMAND (its text is not stored): %s",
                    s->path, advice);
    while (before->text[same] && before->text[same] == now[same])
        same++;
    struct buf first = {0}, second = {0};
    show_command(&first, before->text, same);
    show_command(&second, now, same);
    enum error error = fail(why, ERR_INVALID,
                            "the store %s was made by another COMMAND; stored: %s; given: %s; %s",
                            s->path, (char *)first.data, (char *)second.data, advice);
    buf_free(&first);
    buf_free(&second);
    return error;
}

/* What stands beside what another COMMAND made would look as if one had made all of it. */
static enum error store_open_check_command(const struct store *s, const struct store_past *past,
                                           struct why *why)
{
    static const struct hash none;
    const struct store_options *o = &s->options;
    bool told = o->command.text && !hash_equal(past->before.hash, none);
    bool same = hash_equal(past->before.hash, o->command.hash);
    if (!told || same || o->other_command || seqset_empty(&past->stored))
        return ERR_NONE;
    return refuse_command(s, &past->before, why);
}

/* ---- all of it ---- */

static enum error open_all(struct store *s, struct store_past *past, struct why *why)
{
    enum error error = store_open_lock(s, why);
    error = error ? error : store_open_connect_to(s, why);
    error = error ? error : store_identify(s, false, &past->is_new, why);
    if (!error)
        error = past->is_new ? create(s, s->options.job, why)
                             : store_check_pages(s, "quick_check", why);
    error = error ? error : prepare(s, why);
    error = error ? error : store_open_read_job(s, past, why);
    error = error ? error : read_results(s, past, why);
    error = error ? error : store_open_check_command(s, past, why);
    return error ? error : count_opening(s, why);
}

enum error store_open(struct store **store, const struct store_options *options,
                      struct store_past *past, struct why *why)
{
    struct store *s = xcalloc(1, sizeof *s);
    *past = (struct store_past){0};
    s->path = xstrdup(options->path);
    s->options = *options;
    enum error error = open_all(s, past, why);
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
    seqset_free(&s->strange);
    free(s->before_executor);
    free(s->before_text);
    free(s->path);
    free(s);
}
