/* SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "sink/store_schema.h"
#include "sink/store_state.h"

enum { CHECKPOINT_PAGES = 4000 };

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
    [SET_EXECUTOR] = "UPDATE job SET executor = ?",
    [FINISH] = "UPDATE job SET closed = ?, total = ?, not_run = ?, doubled = ?, workers = ?, "
               "input_cut = ?",
    [GET_HASHES] = "SELECT seq, hash FROM result WHERE seq >= ? ORDER BY seq LIMIT ?",
    [GET_RESULT] = "SELECT status, exit, signal, attempts, worker, start, seconds, task, stdout, "
                   "stderr, record FROM result WHERE seq = ?",
    [GET_ATTEMPTS] = "SELECT status, exit, signal, attempt, worker, start, seconds, stdout, stderr "
                     "FROM attempt WHERE seq = ? ORDER BY incarnation, attempt, rowid",
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

enum error store_failure(const struct store *s, struct why *why)
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

static enum error lock(struct store *s, struct why *why)
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

static enum error number_of(struct store *s, const char *sql, int64_t *number, struct why *why)
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

enum error store_identify(struct store *s, bool *is_empty, struct why *why)
{
    int64_t application = 0, version = 0, tables = 0;
    enum error error = number_of(s, "PRAGMA application_id", &application, why);
    error = error ? error : number_of(s, "PRAGMA user_version", &version, why);
    error = error ? error : number_of(s, "SELECT count(*) FROM sqlite_master", &tables, why);
    *is_empty = !error && tables == 0;
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
    return ERR_NONE;
}

static enum error connect_to(struct store *s, struct why *why)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(s->path, &s->db, flags, NULL))
        return store_failure(s, why);
    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_busy_timeout(s->db, 1000); /* somebody who reads may hold it for a moment */
    return store_run(s, "PRAGMA synchronous = FULL", why);
}

/* That it was opened once more survives a loss of power in any case: the ventilator tells by it which of
 * two sinks is the later one. */
static enum error count_opening(struct store *s, struct why *why)
{
    enum error error = store_run(s, "UPDATE job SET opened = opened + 1", why);
    if (!error && s->durability == STORE_NORMAL)
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

static enum error read_job(struct store *s, struct store_past *past, struct why *why)
{
    sqlite3_stmt *row = NULL;
    static const char text[] =
        "SELECT job, incarnation, closed IS NOT NULL, total, doubled, opened, executor "
        "FROM job";
    if (sqlite3_prepare_v2(s->db, text, -1, &row, NULL))
        return store_failure(s, why);
    bool found = sqlite3_step(row) == SQLITE_ROW;
    if (found) {
        past->job = (uint64_t)sqlite3_column_int64(row, 0);
        past->incarnation = (uint64_t)sqlite3_column_int64(row, 1);
        past->closed = sqlite3_column_int(row, 2);
        past->total = (uint64_t)sqlite3_column_int64(row, 3);
        past->doubled = (uint64_t)sqlite3_column_int64(row, 4);
        past->opening = (uint64_t)sqlite3_column_int64(row, 5);
        if (sqlite3_column_bytes(row, 6) == 16)
            past->executor = store_hash(sqlite3_column_blob(row, 6));
    }
    sqlite3_finalize(row);
    return found ? ERR_NONE
                 : fail(why, ERR_INVALID, "the store %s has no job in it: it is damaged", s->path);
}

static enum error read_results(struct store *s, struct store_past *past, struct why *why)
{
    sqlite3_stmt *row = NULL;
    if (sqlite3_prepare_v2(s->db, "SELECT seq, status FROM result ORDER BY seq", -1, &row, NULL))
        return store_failure(s, why);
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
    return rc == SQLITE_DONE ? ERR_NONE : store_failure(s, why);
}

enum error store_open(struct store **store, const char *path, enum store_durability durability,
                      uint64_t job, struct store_past *past, struct why *why)
{
    struct store *s = xcalloc(1, sizeof *s);
    *past = (struct store_past){0};
    s->path = xstrdup(path);
    s->durability = durability;
    enum error error = lock(s, why);
    error = error ? error : connect_to(s, why);
    error = error ? error : store_identify(s, &past->is_new, why);
    if (!error && past->is_new)
        error = create(s, job, why);
    error = error ? error : prepare(s, why);
    error = error ? error : count_opening(s, why);
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

static enum error move_failed(struct store *s, const char *output, struct why *why)
{
    char *text =
        sqlite3_mprintf("BEGIN IMMEDIATE;"
                        "INSERT INTO attempt (seq, attempt, incarnation, status, exit, signal, "
                        "worker, start, seconds, "
                        "  stdout, stderr) SELECT seq, attempts, (SELECT incarnation FROM job), "
                        "status, exit, signal, "
                        "  worker, start, seconds, stdout, stderr FROM result WHERE status <> 'ok';"
                        "DELETE FROM result WHERE status <> 'ok';"
                        "DELETE FROM file WHERE name = %Q;"
                        "UPDATE job SET closed = NULL, total = NULL;"
                        "COMMIT",
                        output);
    enum error error = store_run(s, text, why);
    sqlite3_free(text);
    if (error)
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return error;
}

enum error store_retry_failed(struct store *s, const char *output, struct store_past *past,
                              struct why *why)
{
    if (past->failed + past->lost == 0)
        return ERR_NONE;
    enum error error = move_failed(s, output, why);
    if (error)
        return error;
    past->closed = false;
    past->total = past->ok = past->failed = past->lost = 0;
    seqset_clear(&past->stored);
    return read_results(s, past, why);
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
