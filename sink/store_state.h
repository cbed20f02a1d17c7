/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SINK_STORE_STATE_H
#define ZFARM_SINK_STORE_STATE_H

#include <sqlite3.h>

#include "sink/store.h"

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
    GET_FILE,
    REOPEN,
    SET_EXECUTOR,
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
    struct buf pending; /* struct pending_result and what belongs to it, one behind the other */
    struct store_file files[STORE_FILES_MAX];
    size_t file_count;
    bool files_changed;
    enum store_durability durability;
    uint64_t reopen; /* incarnation to be noted; 0: none */
    struct hash executor;
    bool executor_changed;
    struct store_closing closing;
    bool finishes;
};

/* What SQLite says of the last call that failed. ERR_DISK_FULL: it may work later. */
enum error store_failure(const struct store *s, struct why *why);
/* Whose file is this? ERR_INVALID, ERR_VERSION, ERR_IO with words; an empty one may become a store. */
enum error store_identify(struct store *s, bool *is_empty, struct why *why);
enum result_status store_status(struct bytes word); /* RESULT_EXITED if there is no such word */
/* Runs statements that give no rows. */
enum error store_run(struct store *s, const char *sql, struct why *why);
struct hash store_hash(const uint8_t bytes[static 16]);

#endif
