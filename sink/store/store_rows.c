/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/store/store_rows.h"

#include <string.h>

#include "common/base/utf8.h"
#include "sink/store/store_db.h"

/* ---- to a row ---- */

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

void rows_put_hash(struct hash hash, uint8_t bytes[static 16])
{
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(hash.high >> (56 - 8 * i));
        bytes[8 + i] = (uint8_t)(hash.low >> (56 - 8 * i));
    }
}

/* task, hash and, if there are several arguments, the record of the task. */
static void bind_task(sqlite3_stmt *row, const struct result *r, struct rows_scratch *scratch)
{
    enum { TASK = 9, HASH = 10, RECORD = 13 };
    struct bytes records = r->task;
    struct task task;
    sqlite3_bind_null(row, TASK);
    sqlite3_bind_null(row, HASH);
    sqlite3_bind_null(row, RECORD);
    if (!records.size || task_take(&records, &task))
        return;
    rows_put_hash(r->has_hash ? r->hash : task_hash(task), scratch->hash);
    sqlite3_bind_blob(row, HASH, scratch->hash, sizeof scratch->hash, SQLITE_STATIC);
    if (r->task.size > STORE_TASK_MAX)
        return;
    buf_clear(&scratch->joined);
    task_join(task, &scratch->joined);
    bind_bytes(row, TASK, buf_bytes(&scratch->joined));
    if (task.many)
        sqlite3_bind_blob64(row, RECORD, r->task.data, r->task.size, SQLITE_STATIC);
}

void rows_bind_text(sqlite3_stmt *row, int at, const char *text)
{
    bind_bytes(row, at, bytes_of(text ? text : ""));
    if (!text)
        sqlite3_bind_null(row, at);
}

void rows_bind_result(sqlite3_stmt *row, const struct result *r, struct rows_scratch *scratch)
{
    sqlite3_bind_int64(row, 1, (int64_t)r->seq);
    bind_status(row, 2, r);
    sqlite3_bind_int64(row, 5, r->tries);
    bind_run(row, 6, r);
    bind_task(row, r, scratch);
    bind_bytes(row, 11, r->out);
    bind_bytes(row, 12, r->err);
    bind_number(row, 14, r->cut, r->cut_pid);
}

void rows_bind_attempt(sqlite3_stmt *row, const struct result *r)
{
    sqlite3_bind_int64(row, 1, (int64_t)r->seq);
    sqlite3_bind_int64(row, 2, r->tries);
    sqlite3_bind_int64(row, 3, (int64_t)r->attempt.incarnation);
    bind_status(row, 4, r);
    bind_run(row, 7, r);
    bind_bytes(row, 10, r->out);
    bind_bytes(row, 11, r->err);
    bind_number(row, 12, r->cut, r->cut_pid);
}

/* ---- from a row ---- */

struct result rows_result(sqlite3_stmt *row, uint64_t seq, struct buf *record)
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

struct result rows_attempt(sqlite3_stmt *row, uint64_t seq)
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
