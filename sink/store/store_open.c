/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/store/store_open.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/xalloc.h"
#include "sink/store/store_schema.h"

/* ---- opening ---- */

/* One byte far behind those that SQLite locks, and as an open file description's lock: so that it can
 * be asked for without being taken, and other descriptors of the file may come and go. */
static struct flock lock_byte(void)
{
    return (struct flock){
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = STORE_APPLICATION, .l_len = 1};
}

bool store_is_in_use(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct flock byte = lock_byte();
    bool in_use = fd >= 0 && fcntl(fd, F_OFD_GETLK, &byte) == 0 && byte.l_type != F_UNLCK;
    if (fd >= 0)
        close(fd);
    return in_use;
}

static enum error store_open_lock(struct store_opened *s, struct why *why)
{
    struct flock byte = lock_byte();
    s->lock = open(s->db.path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (s->lock < 0)
        return fail(why, errno == EACCES ? ERR_ACCESS : ERR_IO, "cannot open the store %s: %s",
                    s->db.path, strerror(errno));
    if (fcntl(s->lock, F_OFD_SETLK, &byte))
        return fail(why, ERR_IN_USE,
                    "the store %s is in use by another sink; end that one, or give "
                    "another file",
                    s->db.path);
    return ERR_NONE;
}

static enum error create(struct store_opened *s, uint64_t job, struct why *why)
{
    char *text = xasprintf(
        "BEGIN IMMEDIATE; PRAGMA application_id = %d; PRAGMA user_version = %d; %s "
        "INSERT INTO job (id, job, incarnation, started) VALUES (1, %" PRId64 ", 0, %.6f); COMMIT;",
        STORE_APPLICATION, STORE_SCHEMA, store_schema, (int64_t)job,
        (double)clock_realtime_us() / 1e6);
    enum error error = store_run(&s->db, text, why);
    free(text);
    return error;
}

static enum error store_open_connect_to(struct store_opened *s, struct why *why)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(s->db.path, &s->db.db, flags, NULL))
        return store_failure(&s->db, why);
    sqlite3_extended_result_codes(s->db.db, 1);
    sqlite3_busy_timeout(s->db.db, 1000); /* a reader may hold it for a moment */
    return store_run(&s->db, "PRAGMA synchronous = FULL", why);
}

/* That it was opened once more survives a loss of power in any case: the ventilator tells by it which of
 * two sinks is the later one. */
static enum error count_opening(struct store_opened *s, struct why *why)
{
    enum error error = store_run(&s->db, "UPDATE job SET opened = opened + 1", why);
    if (!error && s->options.durability == STORE_NORMAL)
        error = store_run(&s->db, "PRAGMA synchronous = NORMAL", why);
    return error;
}

/* ---- the past ---- */

/* The text in a column, or NULL. */
static char *copy_of(sqlite3_stmt *row, int at)
{
    const char *text = (const char *)sqlite3_column_text(row, at);
    return text ? xstrdup(text) : NULL;
}

/* In a new round that has not begun what failed is there no more. */
static bool begins_round(const struct store_options *options, uint64_t round)
{
    return options->retry_failed && (!options->round || options->round != round);
}

static enum error store_open_read_job(struct store_opened *s, struct store_past *past,
                                      struct why *why)
{
    sqlite3_stmt *row = NULL;
    static const char text[] =
        "SELECT job, incarnation, closed IS NOT NULL, total, doubled, opened, "
        "round, executor, command, command_hash, input_cut FROM job";
    if (sqlite3_prepare_v2(s->db.db, text, -1, &row, NULL))
        return store_failure(&s->db, why);
    bool found = sqlite3_step(row) == SQLITE_ROW;
    if (found) {
        past->job = (uint64_t)sqlite3_column_int64(row, 0);
        past->incarnation = (uint64_t)sqlite3_column_int64(row, 1);
        past->closed = sqlite3_column_int(row, 2);
        past->total = (uint64_t)sqlite3_column_int64(row, 3);
        past->input_cut = sqlite3_column_int(row, 10);
        past->doubled = (uint64_t)sqlite3_column_int64(row, 4);
        past->opening = (uint64_t)sqlite3_column_int64(row, 5) + 1;
        s->retries = begins_round(&s->options, (uint64_t)sqlite3_column_int64(row, 6));
        past->executor = copy_of(row, 7);
        past->text = copy_of(row, 8);
        past->before = (struct store_command){.executor = past->executor, .text = past->text};
        if (sqlite3_column_bytes(row, 9) == 16)
            past->before.hash = store_hash(sqlite3_column_blob(row, 9));
    }
    sqlite3_finalize(row);
    return found ? ERR_NONE : store_is_damaged(&s->db, "it has no job in it", why);
}

static void count_past(struct store_opened *s, struct store_past *past, const struct store_row *row)
{
    if (s->retries && row->status != RESULT_OK) {
        past->is_retried = true;
        return;
    }
    seqset_add(&past->stored, row->seq, row->seq);
    failures_note(&past->failures, row->seq, row->status, row->code);
    if (row->status == RESULT_OK)
        past->ok++;
    else if (row->status == RESULT_LOST)
        past->lost++;
    else
        past->failed++;
}

static enum error read_results(struct store_opened *s, struct store_past *past, struct why *why)
{
    sqlite3_stmt *rows = NULL;
    static const char text[] = "SELECT seq, status, hash, exit, signal FROM task_result ORDER BY "
                               "seq";
    if (sqlite3_prepare_v2(s->db.db, text, -1, &rows, NULL))
        return store_failure(&s->db, why);
    struct store_row row = {0};
    bool found = true;
    enum error error = ERR_NONE;
    while (!error && found) {
        error = store_next_row(&s->db, rows, &row, &found, why);
        if (!error && found)
            count_past(s, past, &row);
    }
    sqlite3_finalize(rows);
    s->retries = past->is_retried;
    if (past->is_retried) {
        past->closed = false;
        past->total = 0;
    }
    return error;
}

/* ---- another COMMAND ---- */

enum { COMMAND_SHOWN = 300, COMMAND_BEFORE = 100 };

/* At most COMMAND_SHOWN bytes, from a little before where two of them begin to differ. */
static void show_command(struct buf *to, const char *text, size_t same)
{
    size_t skipped = same > COMMAND_BEFORE ? same - COMMAND_BEFORE : 0, size = strlen(text);
    bool is_cut = size - skipped > COMMAND_SHOWN;
    buf_printf(to, "%s%.*s%s", skipped ? "..." : "", COMMAND_SHOWN, text + skipped,
               is_cut ? "..." : "");
    buf_put_byte(to, '\0');
}

static enum error refuse_command(const struct store_opened *s, const struct store_command *before,
                                 struct why *why)
{
    static const char advice[] = "give --other-command to keep what is stored and run the rest by "
                                 "this one, or another file";
    const char *now = s->options.command.text;
    size_t same = 0;
    if (!before->text)
        return fail(why, ERR_INVALID,
                    "the store %s was made by another COMMAND (its text is not stored): %s",
                    s->db.path, advice);
    while (before->text[same] && before->text[same] == now[same])
        same++;
    struct buf first = {0}, second = {0};
    show_command(&first, before->text, same);
    show_command(&second, now, same);
    enum error error = fail(why, ERR_INVALID,
                            "the store %s was made by another COMMAND; stored: %s; given: %s; %s",
                            s->db.path, (char *)first.data, (char *)second.data, advice);
    buf_free(&first);
    buf_free(&second);
    return error;
}

/* What stands beside what another COMMAND made would look as if one had made all of it. */
static enum error store_open_check_command(const struct store_opened *s,
                                           const struct store_past *past, struct why *why)
{
    static const struct hash none;
    const struct store_options *o = &s->options;
    bool told = o->command.text && !hash_equal(past->before.hash, none);
    bool same = hash_equal(past->before.hash, o->command.hash);
    if (!told || same || o->other_command || seqset_empty(&past->stored))
        return ERR_NONE;
    return refuse_command(s, &past->before, why);
}

/* ---- all of it ---- */

enum error store_open_file(struct store_opened *s, bool *is_new, struct why *why)
{
    enum { CHECKPOINT_PAGES = 4000 };
    s->db.path = xstrdup(s->options.path);
    enum error error = store_open_lock(s, why);
    error = error ? error : store_open_connect_to(s, why);
    error = error ? error : store_identify(&s->db, false, is_new, why);
    if (!error)
        error = *is_new ? create(s, s->options.job, why)
                        : store_check_pages(&s->db, "quick_check", why);
    if (error)
        return error;
    char *checkpoint =
        xasprintf("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = %d", CHECKPOINT_PAGES);
    error = store_run(&s->db, checkpoint, why);
    free(checkpoint);
    return error;
}

enum error store_open_past(struct store_opened *s, struct store_past *past, struct why *why)
{
    enum error error = store_open_read_job(s, past, why);
    error = error ? error : read_results(s, past, why);
    error = error ? error : store_open_check_command(s, past, why);
    return error ? error : count_opening(s, why);
}

void store_open_close(struct store_opened *s)
{
    sqlite3_close(s->db.db);
    if (s->lock >= 0)
        close(s->lock);
    free(s->db.path);
}
