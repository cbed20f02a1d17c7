/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_STORE_ROWS_H
#define ZFARM_STORE_ROWS_H

#include <sqlite3.h>

#include "common/base/bytes.h"
#include "common/wire/result.h"

/* A result as a row of the store, and back: which column has what, in the order of the statements in store.c.
 * Owns: nothing. Decides: what is text and what a blob, and what is NULL. Called by: store.c. Calls: SQLite.
 * What is bound must stay as it is until the statement has taken its step. */
struct rows_scratch {
    struct buf joined; /* the arguments of a task */
    uint8_t hash[16];
};

void rows_bind_result(sqlite3_stmt *row, const struct result *result, struct rows_scratch *scratch);
/* A try that was not final. */
void rows_bind_attempt(sqlite3_stmt *row, const struct result *result);
void rows_bind_text(sqlite3_stmt *row, int at, const char *text); /* NULL: none */
void rows_put_hash(struct hash hash, uint8_t bytes[static 16]);

/* Valid until the statement takes its next step; `record` is for the record of its task. */
struct result rows_result(sqlite3_stmt *row, uint64_t seq, struct buf *record);
struct result rows_attempt(sqlite3_stmt *row, uint64_t seq);

#endif
