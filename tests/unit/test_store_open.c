/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/store_rig.h"

/* How a store is taken up again: new rounds, other COMMANDs, damage. */
TestSuite(store_open, .timeout = 60, .init = make_dir, .fini = remove_dir);

/* A closed job of three, of which two failed. */
static void make_failures(void)
{
    struct store_past past;
    struct store *store = opened(&past);
    put(store, 1, RESULT_OK, "a");
    put(store, 2, RESULT_EXITED, "b");
    put(store, 3, RESULT_LOST, "");
    store_set_file(store, &(struct store_file){"out", 7, 0});
    store_set_file(store, &(struct store_file){"log", 9, 0});
    store_finish(store, &(struct store_closing){.total = 3});
    commit(store);
    close_it(&store, &past);
}

Test(store_open, a_new_round_forgets_what_failed_and_keeps_it_as_tries)
{
    make_failures();
    struct store_options options = plain_options();
    struct store_past past;
    options.retry_failed = true;
    struct store *store = opened_with(&options, &past);
    cr_assert(past.is_retried && !past.closed && past.ok == 1 && past.failed + past.lost == 0);
    store_reopen(store);
    commit(store);
    store = opened_again(&store, &past);
    cr_assert(!past.closed && past.ok == 1 && past.failed == 0 && past.lost == 0);
    cr_assert(seqset_has(&past.stored, 1) && past.stored.members == 1);
    struct store_file out = {.name = "out"}, log = {.name = "log"};
    cr_assert(!store_get_file(store, &out) && store_get_file(store, &log) && log.length == 9);
    cr_assert_str_eq(query("SELECT group_concat(seq || status) FROM attempt"), "2failed,3lost");
    cr_assert_eq(past.opening, 3);
    close_it(&store, &past);
}

Test(store_open, a_new_round_that_does_not_begin_changes_nothing)
{
    make_failures();
    struct store_options options = plain_options();
    struct store_past past;
    static struct hashed_task hashes[HASHES_MAX];
    options.retry_failed = true;
    struct store *store = opened_with(&options, &past);
    cr_assert_eq(store_hashes(store, 1, hashes), 1, "what failed is as if it were not there");
    cr_assert_eq(store_commit_life(store, 8, NULL), ERR_NONE);
    cr_assert_not(store_is_dirty(store));
    store = opened_again(&store, &past);
    cr_assert(past.closed && past.total == 3 && past.ok == 1 && past.failed == 1 && past.lost == 1);
    cr_assert_eq(past.incarnation, 8);
    struct store_file out = {.name = "out"};
    cr_assert(store_get_file(store, &out) && out.length == 7);
    close_it(&store, &past);
}

Test(store_open, a_new_round_with_a_name_is_begun_once)
{
    make_failures();
    struct store_options options = plain_options();
    struct store_past past;
    options.retry_failed = true;
    options.round = 4711;
    struct store *store = opened_with(&options, &past);
    close_it(&store, &past); /* killed before anything was run */
    store = opened_with(&options, &past);
    cr_assert(past.is_retried);
    store_reopen(store);
    put(store, 2, RESULT_EXITED, "again");
    commit(store);
    close_it(&store, &past); /* killed in the middle of it */
    store = opened_with(&options, &past);
    cr_assert(!past.is_retried && past.failed == 1 && past.ok == 1);
    close_it(&store, &past);
    options.round = 4712;
    store = opened_with(&options, &past);
    cr_assert(past.is_retried && past.failed == 0);
    close_it(&store, &past);
}

Test(store_open, without_a_failure_there_is_no_new_round)
{
    struct store_past past;
    struct store_options options = plain_options();
    struct store *store = opened(&past);
    put(store, 1, RESULT_OK, "a");
    store_finish(store, &(struct store_closing){.total = 1});
    commit(store);
    close_it(&store, &past);
    options.retry_failed = true;
    store = opened_with(&options, &past);
    cr_assert(past.closed && past.total == 1 && !past.is_retried);
    close_it(&store, &past);
}

/* ---- another COMMAND ---- */

static struct store_options by_command(const char *text)
{
    struct store_options options = plain_options();
    options.command = (struct store_command){"shell", text, {(uint8_t)text[0], (uint8_t)text[1]}};
    return options;
}

static void refused_by_command(const struct store_options *options, const char *words)
{
    struct store_past past;
    struct store *store = NULL;
    struct why why = {""};
    cr_assert_eq(store_open(&store, options, &past, &why), ERR_INVALID);
    cr_assert(strstr(why.text, words), "%s", why.text);
    cr_assert(strstr(why.text, "--other-command"), "%s", why.text);
}

Test(store_open, another_command_is_refused_and_both_are_shown)
{
    struct store_past past;
    struct store_options old = by_command("old {}"), new = by_command("new {}");
    struct store *store = opened_with(&old, &past);
    store_reopen(store);
    commit(store);
    close_it(&store, &past);
    store = opened_with(&new, &past); /* nothing is stored: nothing can be mixed */
    close_it(&store, &past);
    store = opened_with(&old, &past);
    put(store, 1, RESULT_OK, "a");
    commit(store);
    close_it(&store, &past);
    refused_by_command(&new, "by another COMMAND; stored: old {}; given: new {}; give");
    cr_assert_str_eq(query("SELECT opened || executor || command FROM job"), "3shellold {}");
    new.other_command = true;
    store = opened_with(&new, &past);
    store_reopen(store);
    commit(store);
    close_it(&store, &past);
    cr_assert_str_eq(query("SELECT command FROM job"), "new {}");
    refused_by_command(&old, "stored: new {}; given: old {}");
}

Test(store_open, of_a_long_command_is_shown_where_it_differs)
{
    struct store_past past;
    char one[2000], other[2000];
    memset(one, 'x', sizeof one - 1);
    one[sizeof one - 1] = '\0';
    memcpy(other, one, sizeof one);
    memcpy(one + 1000, "ONE", 3);
    memcpy(other + 1000, "OTHER", 5);
    struct store_options old = by_command(one), new = by_command(other);
    new.command.hash.high++;
    struct store *store = opened_with(&old, &past);
    store_reopen(store);
    put(store, 1, RESULT_OK, "a");
    commit(store);
    close_it(&store, &past);
    refused_by_command(&new, "xONE");
    refused_by_command(&new, "xxOTHERxx");
}

Test(store_open, what_the_workers_told_by_hand_counts_too_but_has_no_text)
{
    struct store_past past;
    struct store *store = opened(&past);
    store_set_command_hash(store, (struct hash){1, 2});
    put(store, 1, RESULT_OK, "a");
    commit(store);
    store = opened_again(&store, &past);
    cr_assert(past.before.hash.high == 1 && past.before.hash.low == 2 && !past.before.text);
    close_it(&store, &past);
    struct store_options run = by_command("new {}");
    refused_by_command(&run, "by another COMMAND (its text is not stored)");
}

/* ---- damage ---- */

struct open_verdict {
    enum error error;
    uint64_t ok, failed, members;
};

static struct open_verdict verdict_of_open(struct why *why)
{
    struct store *store = NULL;
    struct store_past past;
    struct store_options options = plain_options();
    struct open_verdict v = {.error = store_open(&store, &options, &past, why)};
    if (v.error)
        return v;
    v.ok = past.ok;
    v.failed = past.failed;
    v.members = past.stored.members;
    close_it(&store, &past);
    return v;
}

static void flip(const uint8_t *whole, size_t size, size_t at, unsigned bit)
{
    FILE *file = fopen(path, "wb");
    cr_assert_eq(fwrite(whole, 1, size, file), size);
    fseek(file, (long)at, SEEK_SET);
    fputc(whole[at] ^ (1 << bit), file);
    fclose(file);
}

/* What a flipped bit cannot do: bring a failure, a success or a task that was not there. */
Test(store_open, one_flipped_bit_anywhere_is_refused_or_changes_no_count)
{
    enum { TASKS = 60, TRIES = 200, SIZE_MAX_HERE = 1 << 20 };
    struct store_past past;
    struct store *store = opened(&past);
    for (uint64_t seq = 1; seq <= TASKS; seq++)
        put(store, seq, seq % 6 ? RESULT_OK : RESULT_EXITED, "out");
    store_finish(store, &(struct store_closing){.total = TASKS});
    commit(store);
    close_it(&store, &past);
    uint8_t *whole = malloc(SIZE_MAX_HERE);
    FILE *file = fopen(path, "rb");
    size_t size = fread(whole, 1, SIZE_MAX_HERE, file), refusals = 0;
    fclose(file);
    uint64_t random = 1;
    for (int i = 0; i < TRIES; i++) {
        struct why why = {""};
        random = random * 6364136223846793005 + 1442695040888963407;
        size_t at = (size_t)(random >> 33) % size;
        flip(whole, size, at, (unsigned)(random >> 20) & 7);
        struct open_verdict v = verdict_of_open(&why);
        refusals += v.error != ERR_NONE;
        cr_assert(v.error ? why.text[0] != 0
                          : v.ok == TASKS * 5 / 6 && v.failed == TASKS / 6 && v.members == TASKS,
                  "byte %zu: %lu ok %lu failed", at, (unsigned long)v.ok, (unsigned long)v.failed);
    }
    cr_assert_gt(refusals, 0);
    free(whole);
}

static void expect_damaged(const char *sql, const char *words)
{
    struct store_past past;
    struct why why = {""};
    struct store *store = opened(&past);
    put(store, 5, RESULT_OK, "out");
    commit(store);
    close_it(&store, &past);
    query(sql);
    cr_assert_eq(verdict_of_open(&why).error, ERR_INVALID, "%s", sql);
    cr_assert(strstr(why.text, "is damaged: ") && strstr(why.text, words), "%s", why.text);
    struct store_view *view;
    struct store_job job;
    struct store_row row = {0};
    bool found;
    enum error error = store_view_open(&view, path, &job, &why);
    error = error ? error : store_view_next(view, &row, &found, &why);
    cr_assert_eq(error, ERR_INVALID, "%s", sql);
    store_view_close(&view);
    remove_dir();
    make_dir();
}

Test(store_open, a_row_that_says_what_cannot_be_is_damage)
{
    expect_damaged("UPDATE task_result SET status = 'oj'", "a status that there is not");
    expect_damaged("UPDATE task_result SET seq = -5", "a number that cannot be");
    expect_damaged("UPDATE task_result SET hash = x'1234'", "a hash of another length");
}

static void make_old(void)
{
    query(
        "CREATE TABLE result (seq INTEGER PRIMARY KEY, status TEXT NOT NULL, exit INTEGER, signal "
        "INTEGER, attempts INTEGER NOT NULL, worker TEXT, start REAL, seconds REAL, task, hash "
        "BLOB, stdout, stderr, record BLOB)");
    query("CREATE TABLE job (id INTEGER PRIMARY KEY, job INTEGER, closed REAL, total INTEGER, "
          "not_run "
          "INTEGER, doubled INTEGER, input_cut INTEGER)");
    query("INSERT INTO job VALUES (1, 77, 1.5, 1, 0, 0, 0)");
    query("INSERT INTO result VALUES (1, 'failed', 3, NULL, 1, 'w', 1.5, 1.5, 'a', NULL, '', '', "
          "NULL)");
    query("PRAGMA application_id = 0x7a66726d");
    query("PRAGMA user_version = 1");
}

Test(store_open, one_of_an_older_zfarm_is_read_and_not_gone_on_with)
{
    struct why why = {""};
    make_old();
    cr_assert_eq(verdict_of_open(&why).error, ERR_VERSION);
    cr_assert(strstr(why.text, "made by an older zfarm (schema 1"), "%s", why.text);
    struct store_view *view;
    struct store_job job;
    struct store_row row = {0};
    bool found;
    cr_assert_eq(store_view_open(&view, path, &job, &why), ERR_NONE, "%s", why.text);
    cr_assert(job.closed && job.total == 1);
    cr_assert_eq(store_view_next(view, &row, &found, &why), ERR_NONE);
    cr_assert(found && row.status == RESULT_EXITED && row.code == 3 && row.attempts == 1);
    store_view_close(&view);
}
