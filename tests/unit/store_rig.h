/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_STORE_RIG_H
#define ZFARM_STORE_RIG_H

#include <criterion/criterion.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sink/store/store_view.h"

/* A store in a directory of the test's own, and results to put into it. */
static char dir[64], path[96];

static inline void make_dir(void)
{
    signal(SIGXFSZ, SIG_IGN);
    strcpy(dir, "/tmp/zfarm-store-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/farm.db", dir);
}

static inline void remove_dir(void)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    char name[128];
    for (size_t i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%s%s", path, ends[i]);
        unlink(name);
    }
    rmdir(dir);
}

static inline struct store_options plain_options(void)
{
    return (struct store_options){.path = path, .job = 77, .output = "out"};
}

static inline struct store *opened_with(const struct store_options *options,
                                        struct store_past *past)
{
    struct store *store = NULL;
    struct why why = {""};
    cr_assert_eq(store_open(&store, options, past, &why), ERR_NONE, "%s", why.text);
    return store;
}

static inline struct store *opened(struct store_past *past)
{
    struct store_options options = plain_options();
    return opened_with(&options, past);
}

static inline struct store *opened_again(struct store **store, struct store_past *past)
{
    store_close(store);
    store_past_free(past);
    return opened(past);
}

static inline void commit(struct store *store)
{
    struct why why = {""};
    cr_assert_eq(store_commit(store, &why), ERR_NONE, "%s", why.text);
    cr_assert_not(store_is_dirty(store));
}

static inline void put(struct store *store, uint64_t seq, enum result_status status,
                       const char *out)
{
    struct buf record = {0};
    char line[32];
    snprintf(line, sizeof line, "line %llu", (unsigned long long)seq);
    task_put_line(&record, bytes_of(line));
    struct result r = {.seq = seq,
                       .attempt = {5, 1},
                       .tries = 2,
                       .status = status,
                       .final = true,
                       .code = status == RESULT_OK ? 0 : 3,
                       .start_us = 1700000000123456,
                       .duration_ns = 1500000000,
                       .out = bytes_of(out),
                       .err = bytes_of("e"),
                       .task = buf_bytes(&record),
                       .worker = bytes_of("one")};
    store_put(store, &r);
    buf_free(&record);
}

/* The first column of the first row, as text; "" if there is none. */
static inline const char *query(const char *sql)
{
    static char text[256];
    sqlite3 *db;
    sqlite3_stmt *row;
    text[0] = '\0';
    cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
    cr_assert_eq(sqlite3_prepare_v2(db, sql, -1, &row, NULL), SQLITE_OK, "%s", sqlite3_errmsg(db));
    if (sqlite3_step(row) == SQLITE_ROW && sqlite3_column_text(row, 0))
        snprintf(text, sizeof text, "%s", (const char *)sqlite3_column_text(row, 0));
    sqlite3_finalize(row);
    sqlite3_close(db);
    return text;
}

static inline void close_it(struct store **store, struct store_past *past)
{
    store_past_free(past);
    store_close(store);
}

#endif
