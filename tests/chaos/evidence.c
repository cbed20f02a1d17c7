/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/chaos/evidence.h"

#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/xalloc.h"

void evidence_init(struct evidence *e, uint64_t tasks)
{
    *e = (struct evidence){.tasks = tasks, .file = -1, .capacity = tasks + 1024};
    e->effects = xmalloc(e->capacity * sizeof *e->effects);
    e->runs = xcalloc(tasks + 1, sizeof *e->runs);
}

void evidence_free(struct evidence *e)
{
    for (size_t i = 0; i < e->snapshot_count; i++)
        free(e->snapshots[i].stored);
    free(e->effects);
    free(e->runs);
    if (e->file >= 0)
        close(e->file);
}

void evidence_read(struct evidence *e)
{
    if (e->file < 0)
        e->file = open("effects", O_RDONLY | O_CLOEXEC);
    if (e->file < 0)
        return;
    for (;;) {
        if (e->count == e->capacity)
            e->effects = xrealloc(e->effects, (e->capacity *= 2) * sizeof *e->effects);
        ssize_t got =
            pread(e->file, e->effects + e->count, (e->capacity - e->count) * sizeof *e->effects,
                  (off_t)(e->count * sizeof *e->effects));
        if (got < (ssize_t)sizeof *e->effects)
            return;
        for (size_t left = (size_t)got / sizeof *e->effects; left; left--) {
            uint64_t seq = e->effects[e->count++].seq;
            if (seq < 1 || seq > e->tasks)
                errx(1, "task %" PRIu64 " ran, which does not exist", seq);
            e->ran += e->runs[seq]++ == 0;
        }
    }
}

/* ---- the store ---- */

static sqlite3 *open_store(void)
{
    sqlite3 *db;
    if (sqlite3_open_v2("farm.db", &db, SQLITE_OPEN_READONLY, NULL)) {
        sqlite3_close(db);
        return NULL;
    }
    sqlite3_busy_timeout(db, 5000);
    return db;
}

void evidence_snapshot(struct evidence *e)
{
    sqlite3 *db = e->snapshot_count < SNAPSHOTS_MAX ? open_store() : NULL;
    sqlite3_stmt *row;
    if (!db)
        return;
    if (sqlite3_prepare_v2(db, "SELECT seq FROM result", -1, &row, NULL) == SQLITE_OK) {
        struct snapshot *s = &e->snapshots[e->snapshot_count++];
        s->stored = xcalloc(e->tasks + 1, 1);
        while (sqlite3_step(row) == SQLITE_ROW) {
            uint64_t seq = (uint64_t)sqlite3_column_int64(row, 0);
            if (seq <= e->tasks)
                s->stored[seq] = 1;
        }
        s->at_ns = clock_now_ns();
    }
    sqlite3_finalize(row);
    sqlite3_close(db);
}

size_t evidence_run_again(const struct evidence *e, const struct snapshot *s)
{
    size_t count = 0;
    for (size_t i = 0; i < e->count; i++)
        count += e->effects[i].begin_ns > s->at_ns && s->stored[e->effects[i].seq];
    return count;
}

/* When `seq` was begun by another worker after `at_ns`; NEVER if it was not. */
static uint64_t begun_elsewhere(const struct evidence *e, uint64_t seq, pid_t worker,
                                uint64_t at_ns)
{
    for (size_t i = 0; i < e->count; i++)
        if (e->effects[i].seq == seq && e->effects[i].worker_pid != worker &&
            e->effects[i].begin_ns > at_ns)
            return e->effects[i].begin_ns;
    return NEVER;
}

bool evidence_elsewhere(const struct evidence *e, pid_t worker, uint64_t at_ns, uint64_t around_ns,
                        uint64_t *last_ns)
{
    bool found = false;
    *last_ns = 0;
    for (size_t i = 0; i < e->count; i++) {
        const struct effect *effect = &e->effects[i];
        if (effect->worker_pid != worker || e->runs[effect->seq] < 2 ||
            effect->begin_ns + around_ns < at_ns || effect->begin_ns > at_ns + around_ns)
            continue;
        uint64_t begin_ns = begun_elsewhere(e, effect->seq, worker, at_ns);
        if (begin_ns == NEVER)
            continue;
        found = true;
        if (begin_ns - at_ns > *last_ns)
            *last_ns = begin_ns - at_ns;
    }
    return found;
}

/* ---- the audit ---- */

struct findings {
    char *words;
    size_t size, used;
};

__attribute__((format(printf, 2, 3))) static void find(struct findings *f, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int wrote = vsnprintf(f->words + f->used, f->size - f->used, format, list);
    va_end(list);
    f->used += (size_t)wrote < f->size - f->used ? (size_t)wrote : f->size - f->used - 1;
}

static void expect_row(struct findings *f, sqlite3 *db, const char *sql, const char *expected)
{
    sqlite3_stmt *row;
    if (sqlite3_prepare_v2(db, sql, -1, &row, NULL) || sqlite3_step(row) != SQLITE_ROW) {
        find(f, "%s: %s\n", sql, sqlite3_errmsg(db));
    } else {
        const char *got = (const char *)sqlite3_column_text(row, 0);
        if (!got || strcmp(got, expected) != 0)
            find(f, "%s: %s instead of %s\n", sql, got ? got : "NULL", expected);
    }
    sqlite3_finalize(row);
}

static void audit_store(struct findings *f, const struct evidence *e, uint64_t failed)
{
    sqlite3 *db = open_store();
    if (!db) {
        find(f, "there is no store\n");
        return;
    }
    char *counts = xasprintf("%" PRIu64 "|1|%" PRIu64, e->tasks, e->tasks);
    char *statuses = xasprintf("%" PRIu64 "|%" PRIu64 "|0", e->tasks - failed, failed);
    char *closed = xasprintf("%" PRIu64 "|1|0", e->tasks);
    expect_row(f, db, "PRAGMA integrity_check", "ok");
    expect_row(f, db, "SELECT count(*) || '|' || min(seq) || '|' || max(seq) FROM result", counts);
    expect_row(f, db,
               "SELECT sum(status = 'ok') || '|' || sum(status = 'failed') || '|' || "
               "sum(status = 'lost') FROM result",
               statuses);
    expect_row(f, db, "SELECT count(*) FROM result WHERE stdout <> seq || char(10)", "0");
    expect_row(f, db, "SELECT total || '|' || (closed IS NOT NULL) || '|' || not_run FROM job",
               closed);
    free(counts);
    free(statuses);
    free(closed);
    sqlite3_close(db);
}

/* The output has each number once, in any order or in theirs. */
static void audit_output(struct findings *f, const struct evidence *e, bool keep_order)
{
    FILE *out = fopen("out", "re");
    uint8_t *seen = xcalloc(e->tasks + 1, 1);
    uint64_t lines = 0, number, wrong = 0;
    while (out && fscanf(out, "%" SCNu64, &number) == 1) {
        lines++;
        wrong +=
            number < 1 || number > e->tasks || seen[number]++ || (keep_order && number != lines);
    }
    if (lines != e->tasks || wrong)
        find(f, "the output has %" PRIu64 " lines, %" PRIu64 " of them double or out of order\n",
             lines, wrong);
    if (out)
        fclose(out);
    free(seen);
}

bool evidence_audit(const struct evidence *e, uint64_t fail_every, bool keep_order, char *words,
                    size_t size)
{
    struct findings f = {words, size, 0};
    words[0] = '\0';
    if (e->ran != e->tasks)
        find(&f, "only %" PRIu64 " tasks of %" PRIu64 " ran\n", e->ran, e->tasks);
    audit_store(&f, e, fail_every ? e->tasks / fail_every : 0);
    audit_output(&f, e, keep_order);
    return f.used == 0;
}
