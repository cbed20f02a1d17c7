/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_STORE_DB_H
#define ZFARM_STORE_DB_H

#include <sqlite3.h>

#include "sink/store/store_view.h"

/* An SQLite database that is a store: what SQLite says of it, and what it is.
 * Owns: the name and the connection, which who opens it closes. Decides: what an error means, whether a file is a store
 * of zfarm that can be read or gone on with, whether a row makes sense. Called by: store.c, store_open.c, store_view.c.
 * Calls: SQLite. */
struct store_db {
    char *path;
    sqlite3 *db;
};

/* What SQLite says of the last call that failed. ERR_DISK_FULL: it may work later. */
enum error store_failure(const struct store_db *s, struct why *why);
/* Says that it is damaged. ERR_INVALID. */
enum error store_is_damaged(const struct store_db *s, const char *what, struct why *why);
/* Runs statements that give no rows. */
enum error store_run(struct store_db *s, const char *sql, struct why *why);
/* Whose file is this, and is its schema one to be gone on with, or to be read only? ERR_INVALID, ERR_VERSION,
 * ERR_IO with words; an empty one may become a store. */
enum error store_identify(struct store_db *s, bool reads_only, bool *is_empty, struct why *why);
/* Looks at the pages by PRAGMA `check`. ERR_INVALID: damaged. */
enum error store_check_pages(struct store_db *s, const char *check, struct why *why);

/* Valid until the statement takes its next step. */
struct bytes store_column(sqlite3_stmt *row, int at);
/* RESULT_STATUS_COUNT if there is no such word. */
enum result_status store_status(struct bytes word);
struct hash store_hash(const uint8_t bytes[static 16]);
/* The next row of a statement that begins with seq, status, hash, exit, signal and is in the order of seq; `row` is
 * the one before, or zero, and gets these. False in *found behind the last. ERR_INVALID: what it says cannot be. */
enum error store_next_row(struct store_db *s, sqlite3_stmt *rows, struct store_row *row,
                          bool *found, struct why *why);

#endif
