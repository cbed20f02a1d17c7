/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/store/store_view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/xalloc.h"
#include "sink/store/store_db.h"

struct store_view {
    struct store_db store;
    sqlite3_stmt *rows;
    uint64_t seq;      /* of this row */
    struct buf record; /* of its task */
};

/* A store that nobody has open, with no log beside it, is read as a file that does not change: else
 * SQLite would leave two files behind, and could not read where it may not write. */
static char *uri_of(const char *path, bool in_use)
{
    struct buf uri = {0};
    char *log = xasprintf("%s-wal", path);
    buf_put_text(&uri, "file:");
    for (const char *at = path; *at; at++)
        if (strchr("?#%", *at))
            buf_printf(&uri, "%%%02x", (unsigned char)*at);
        else
            buf_put_byte(&uri, (uint8_t)*at);
    if (!in_use && access(log, F_OK) != 0)
        buf_put_text(&uri, "?immutable=1");
    buf_put_byte(&uri, '\0');
    free(log);
    return (char *)uri.data;
}

static enum error failure(const struct store_db *s, struct why *why)
{
    if ((sqlite3_errcode(s->db) & 0xff) == SQLITE_BUSY)
        return fail(why, ERR_IO,
                    "cannot read the store %s: another program holds it locked; try "
                    "again",
                    s->path);
    return store_failure(s, why);
}

static enum error store_view_connect_to(struct store_db *s, bool in_use, struct why *why)
{
    enum { WAIT_MS = 5000 };
    if (access(s->path, R_OK))
        return fail(why, errno == ENOENT ? ERR_NOT_FOUND : ERR_ACCESS,
                    "cannot read the store %s: %s", s->path, strerror(errno));
    char *uri = uri_of(s->path, in_use);
    int rc = sqlite3_open_v2(uri, &s->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
    free(uri);
    if (rc)
        return failure(s, why);
    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_busy_timeout(s->db, WAIT_MS);
    return sqlite3_exec(s->db, "BEGIN", NULL, NULL, NULL) ? failure(s, why) : ERR_NONE;
}

static enum error check_schema(struct store_db *s, struct why *why)
{
    bool is_empty = false;
    enum error error = store_identify(s, true, &is_empty, why);
    if (!error && is_empty)
        return fail(why, ERR_INVALID, "%s is no store of zfarm: it is empty", s->path);
    return error;
}

static enum error store_view_read_job(struct store_db *s, struct store_job *job, struct why *why)
{
    sqlite3_stmt *row = NULL;
    static const char text[] =
        "SELECT closed IS NOT NULL, total, not_run, input_cut, doubled FROM job";
    if (sqlite3_prepare_v2(s->db, text, -1, &row, NULL))
        return failure(s, why);
    bool found = sqlite3_step(row) == SQLITE_ROW;
    if (found) {
        job->closed = sqlite3_column_int(row, 0);
        job->total = (uint64_t)sqlite3_column_int64(row, 1);
        job->not_run = (uint64_t)sqlite3_column_int64(row, 2);
        job->input_cut = sqlite3_column_int(row, 3);
        job->doubled = (uint64_t)sqlite3_column_int64(row, 4);
    }
    sqlite3_finalize(row);
    return found ? ERR_NONE : store_is_damaged(s, "it has no job in it", why);
}

/* A store of an older schema does not know of them. */
static void read_strange(struct store_db *s, struct store_job *job)
{
    sqlite3_stmt *row = NULL;
    static const char text[] = "SELECT count(*), min(seq) FROM result WHERE strange";
    if (sqlite3_prepare_v2(s->db, text, -1, &row, NULL) == SQLITE_OK &&
        sqlite3_step(row) == SQLITE_ROW) {
        job->strange = (uint64_t)sqlite3_column_int64(row, 0);
        job->strange_first = (uint64_t)sqlite3_column_int64(row, 1);
    }
    sqlite3_finalize(row);
}

enum error store_view_open(struct store_view **view, const char *path, struct store_job *job,
                           struct why *why)
{
    struct store_view *v = xcalloc(1, sizeof *v);
    struct store_db *s = &v->store;
    *job = (struct store_job){.in_use = store_is_in_use(path)};
    s->path = xstrdup(path);
    enum error error = store_view_connect_to(s, job->in_use, why);
    error = error ? error : check_schema(s, why);
    error = error ? error : store_check_pages(s, "integrity_check", why);
    error = error ? error : store_view_read_job(s, job, why);
    if (!error)
        read_strange(s, job);
    static const char text[] = "SELECT seq, status, hash, exit, signal, attempts, worker, task, "
                               "record, start, seconds, stdout, stderr FROM result ORDER BY seq";
    if (!error && sqlite3_prepare_v2(s->db, text, -1, &v->rows, NULL))
        error = failure(s, why);
    *view = v;
    if (error)
        store_view_close(view);
    return error;
}

/* The record of the task, and whether it is the one with the stored hash. */
static void store_view_take_task(struct store_view *v, struct store_row *row)
{
    enum { TASK = 7, RECORD = 8 };
    static const struct hash none;
    struct task task;
    bool has_task = sqlite3_column_type(v->rows, TASK) != SQLITE_NULL;
    buf_clear(&v->record);
    if (sqlite3_column_type(v->rows, RECORD) != SQLITE_NULL)
        buf_put_bytes(&v->record, store_column(v->rows, RECORD));
    else if (has_task)
        task_put_line(&v->record, store_column(v->rows, TASK));
    row->record = buf_bytes(&v->record);
    row->is_whole = true;
    if (!row->record.size && !has_task)
        return; /* too large to be kept, or never read */
    struct bytes rest = row->record;
    row->is_whole = !task_take(&rest, &task) && rest.size == 0;
    if (!row->is_whole)
        row->record = (struct bytes){0};
    else
        row->is_whole = !hash_equal(row->hash, none) && hash_equal(row->hash, task_hash(task));
}

enum error store_view_next(struct store_view *v, struct store_row *row, bool *found,
                           struct why *why)
{
    enum { ATTEMPTS = 5, WORKER = 6 };
    *row = (struct store_row){.seq = v->seq};
    enum error error = store_next_row(&v->store, v->rows, row, found, why);
    if (error || !*found)
        return error;
    v->seq = row->seq;
    row->attempts = (uint64_t)sqlite3_column_int64(v->rows, ATTEMPTS);
    row->worker = store_column(v->rows, WORKER);
    store_view_take_task(v, row);
    return ERR_NONE;
}

void store_view_result(const struct store_view *v, const struct store_row *row, struct result *r)
{
    enum { START = 9, SECONDS = 10, OUT = 11, ERR = 12 };
    *r = (struct result){.seq = row->seq,
                         .final = true,
                         .status = row->status,
                         .code = row->code,
                         .tries = (uint32_t)row->attempts,
                         .worker = row->worker,
                         .task = row->record,
                         .start_us = (uint64_t)(sqlite3_column_double(v->rows, START) * 1e6 + 0.5),
                         .duration_ns =
                             (uint64_t)(sqlite3_column_double(v->rows, SECONDS) * 1e9 + 0.5),
                         .out = store_column(v->rows, OUT),
                         .err = store_column(v->rows, ERR)};
}

void store_view_close(struct store_view **view)
{
    struct store_view *v = *view;
    *view = NULL;
    if (!v)
        return;
    sqlite3_finalize(v->rows);
    buf_free(&v->record);
    sqlite3_close(v->store.db);
    free(v->store.path);
    free(v);
}
