/* SPDX-License-Identifier: MPL-2.0 */

/* bare_store FILE.db ROWS_A_TRANSACTION
 *
 * What SQLite costs and nothing else: for each number on stdin the row that zfarm's store has of the task
 * that multiplies it by 2, in the same schema, with the same settings as --durability normal. */
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sink/store/store_schema.h"

static sqlite3 *db;

static void check(int rc)
{
    if (rc == SQLITE_OK || rc == SQLITE_DONE)
        return;
    fprintf(stderr, "bare_store: %s\n", sqlite3_errmsg(db));
    exit(1);
}

static void run(const char *sql)
{
    check(sqlite3_exec(db, sql, NULL, NULL, NULL));
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void put(sqlite3_stmt *row, uint64_t number, const char *worker)
{
    char task[24], out[24], hash[16] = {0};
    int task_size = snprintf(task, sizeof task, "%" PRIu64, number);
    int out_size = snprintf(out, sizeof out, "%" PRIu64 "\n", 2 * number);
    memcpy(hash, &number, sizeof number);
    sqlite3_bind_int64(row, 1, (int64_t)number);
    sqlite3_bind_text(row, 2, "ok", -1, SQLITE_STATIC);
    sqlite3_bind_int64(row, 3, 0);
    sqlite3_bind_null(row, 4);
    sqlite3_bind_int64(row, 5, 1);
    sqlite3_bind_text(row, 6, worker, -1, SQLITE_STATIC);
    sqlite3_bind_double(row, 7, now_s());
    sqlite3_bind_double(row, 8, 1e-6);
    sqlite3_bind_text(row, 9, task, task_size, SQLITE_STATIC);
    sqlite3_bind_blob(row, 10, hash, sizeof hash, SQLITE_STATIC);
    sqlite3_bind_text(row, 11, out, out_size, SQLITE_STATIC);
    sqlite3_bind_text(row, 12, "", 0, SQLITE_STATIC);
    sqlite3_bind_null(row, 13);
    check(sqlite3_step(row));
    sqlite3_reset(row);
}

int main(int argc, char **argv)
{
    uint64_t many = argc == 3 ? strtoull(argv[2], NULL, 10) : 0, count = 0, number;
    sqlite3_stmt *row;
    if (!many) {
        fprintf(stderr, "usage: bare_store FILE.db ROWS_A_TRANSACTION <NUMBERS\n");
        return 2;
    }
    check(sqlite3_open(argv[1], &db));
    run("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 4000; PRAGMA synchronous = NORMAL");
    run(store_schema);
    check(sqlite3_prepare_v2(
        db,
        "INSERT OR IGNORE INTO task_result (seq, status, exit, signal, attempts, worker, start, "
        "seconds, "
        "task, hash, stdout, stderr, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        -1, &row, NULL));
    run("BEGIN IMMEDIATE");
    while (scanf("%" SCNu64, &number) == 1) {
        put(row, number, "host:12345");
        if (++count % many == 0)
            run("COMMIT; BEGIN IMMEDIATE");
    }
    run("COMMIT");
    sqlite3_finalize(row);
    check(sqlite3_close(db));
    return 0;
}
