/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SINK_STORE_STATE_H
#define ZFARM_SINK_STORE_STATE_H

#include <sqlite3.h>

#include "sink/store/store_view.h"

/* Shared by the parts of the store: store_open.c opens the file and knows what it has from before,
 * store.c writes and reads rows, store_view.c only reads. */
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

struct store {
    char *path;
    int lock; /* a descriptor of the file: closed after SQLite's, or its own locks would go with it */
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
    struct seqset strange; /* results that are to be marked so */
    struct buf pending;    /* struct pending_result and what belongs to it, one behind the other */
    struct store_file files[STORE_FILES_MAX];
    size_t file_count;
    bool files_changed;
    struct store_options options;
    char *before_executor, *before_text; /* what past.before points to */
    bool reopens;
    bool retries; /* what failed is yet to be moved out of the way */
    struct store_command command;
    bool command_changed;
    struct store_closing closing;
    bool finishes;
};

/* What SQLite says of the last call that failed. ERR_DISK_FULL: it may work later. */
enum error store_failure(const struct store *s, struct why *why);
/* Says that it is damaged. ERR_INVALID. */
enum error store_is_damaged(const struct store *s, const char *what, struct why *why);
/* Whose file is this, and is its schema one to be gone on with, or to be read only? ERR_INVALID, ERR_VERSION,
 * ERR_IO with words; an empty one may become a store. */
enum error store_identify(struct store *s, bool reads_only, bool *is_empty, struct why *why);
/* Valid until the statement takes its next step. */
struct bytes store_column(sqlite3_stmt *row, int at);
/* RESULT_STATUS_COUNT if there is no such word. */
enum result_status store_status(struct bytes word);
/* Looks at the pages by PRAGMA `check`. ERR_INVALID: damaged. */
enum error store_check_pages(struct store *s, const char *check, struct why *why);
/* Runs statements that give no rows. */
enum error store_run(struct store *s, const char *sql, struct why *why);
struct hash store_hash(const uint8_t bytes[static 16]);
/* The next row of a statement that begins with seq, status, hash, exit, signal and is in the order of seq; `row` is
 * the one before, or zero, and gets these. False in *found behind the last. ERR_INVALID: what it says cannot be. */
enum error store_next_row(struct store *s, sqlite3_stmt *rows, struct store_row *row, bool *found,
                          struct why *why);

#endif
