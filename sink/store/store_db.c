/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/store/store_db.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/xalloc.h"
#include "sink/store/store_schema.h"

/* ---- errors ---- */

/* Whether a write failed, which may work later. (What the system said of it SQLite does not keep.) */
static bool store_db_has_no_room(sqlite3 *db)
{
    int code = sqlite3_extended_errcode(db);
    return (code & 0xff) == SQLITE_FULL || code == SQLITE_IOERR_WRITE ||
           code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_TRUNCATE ||
           code == SQLITE_IOERR_SHMSIZE;
}

enum error store_is_damaged(const struct store_db *s, const char *what, struct why *why)
{
    return fail(why, ERR_INVALID,
                "the store %s is damaged: %s; give another file, or what sqlite3 %s .recover makes",
                s->path, what, s->path);
}

enum error store_failure(const struct store_db *s, struct why *why)
{
    int code = sqlite3_errcode(s->db) & 0xff;
    if (store_db_has_no_room(s->db))
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

enum error store_run(struct store_db *s, const char *sql, struct why *why)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) ? store_failure(s, why) : ERR_NONE;
}

/* ---- what it is ---- */

static enum error store_db_number_of(struct store_db *s, const char *sql, int64_t *number,
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

enum error store_identify(struct store_db *s, bool reads_only, bool *is_empty, struct why *why)
{
    int64_t application = 0, version = 0, tables = 0;
    enum error error = store_db_number_of(s, "PRAGMA application_id", &application, why);
    error = error ? error : store_db_number_of(s, "PRAGMA user_version", &version, why);
    error =
        error ? error : store_db_number_of(s, "SELECT count(*) FROM sqlite_master", &tables, why);
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

enum error store_check_pages(struct store_db *s, const char *check, struct why *why)
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

/* ---- columns ---- */

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

struct hash store_hash(const uint8_t bytes[static 16])
{
    struct hash hash = {0};
    for (int i = 0; i < 8; i++) {
        hash.high = hash.high << 8 | bytes[i];
        hash.low = hash.low << 8 | bytes[8 + i];
    }
    return hash;
}

/* ---- rows ---- */

/* What a row says, or what is wrong with it. */
static enum error store_db_read_row(struct store_db *s, sqlite3_stmt *row, uint64_t before,
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

enum error store_next_row(struct store_db *s, sqlite3_stmt *rows, struct store_row *row,
                          bool *found, struct why *why)
{
    uint64_t before = row->seq;
    int rc = sqlite3_step(rows);
    *found = rc == SQLITE_ROW;
    if (*found)
        return store_db_read_row(s, rows, before, row, why);
    return rc == SQLITE_DONE ? ERR_NONE : store_failure(s, why);
}
