/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/store_rig.h"

#include <sys/resource.h>
#include <sys/wait.h>

TestSuite(store, .timeout = 60, .init = make_dir, .fini = remove_dir);

Test(store, what_was_committed_is_there_again_and_what_was_not_is_not)
{
    struct store_past past;
    struct store *store = opened(&past);
    cr_assert(past.is_new && past.job == 77 && past.incarnation == 0 && !past.closed);
    put(store, 1, RESULT_OK, "a");
    put(store, 3, RESULT_EXITED, "b");
    put(store, 9, RESULT_LOST, "");
    cr_assert(store_is_dirty(store));
    cr_assert_gt(store_pending_bytes(store), 0);
    commit(store);
    put(store, 4, RESULT_OK, "never");
    store = opened_again(&store, &past);
    cr_assert_not(past.is_new);
    cr_assert(past.ok == 1 && past.failed == 1 && past.lost == 1);
    cr_assert(seqset_has(&past.stored, 1) && seqset_has(&past.stored, 3) &&
              seqset_has(&past.stored, 9) && past.stored.members == 3);
    store_past_free(&past);
    store_close(&store);
}

Test(store, people_can_query_it_while_it_is_written)
{
    struct store_past past;
    struct store *store = opened(&past);
    put(store, 2, RESULT_EXITED, "what \xc3\xa4 said");
    put(store, 5, RESULT_OK, "bytes \xff");
    commit(store);
    cr_assert_str_eq(
        query("SELECT status || exit || attempts || worker || task || seconds || stdout "
              "FROM result WHERE seq = 2"),
        "failed32oneline 21.5what \xc3\xa4 said");
    cr_assert_str_eq(query("SELECT seq || status FROM failed"), "2failed");
    cr_assert_str_eq(query("SELECT typeof(stdout) || hex(stdout) FROM result WHERE seq = 5"),
                     "blob627974657320FF");
    cr_assert_str_eq(query("SELECT start FROM result WHERE seq = 5"), "1700000000.12346");
    store_past_free(&past);
    store_close(&store);
}

Test(store, tries_that_were_not_final_are_kept_apart)
{
    struct store_past past;
    struct store *store = opened(&past);
    struct result r = {
        .seq = 4, .attempt = {8, 1}, .tries = 1, .status = RESULT_SIGNALED, .code = 9};
    store_put(store, &r);
    commit(store);
    cr_assert_str_eq(query("SELECT seq || '/' || attempt || status || signal FROM attempt"),
                     "4/1signaled9");
    store = opened_again(&store, &past);
    cr_assert(seqset_empty(&past.stored));
    store_past_free(&past);
    store_close(&store);
}

static void check_result(void *context, const struct result *r)
{
    struct bytes record = r->task;
    struct task task;
    unsigned *calls = context;
    ++*calls;
    cr_assert(r->seq == 7 && r->final && r->tries == 2 && r->status == RESULT_EXITED &&
              r->code == 3);
    cr_assert(r->start_us == 1700000000123456 && r->duration_ns == 1500000000);
    cr_assert(bytes_equal(r->out, bytes_of("out")) && bytes_equal(r->err, bytes_of("e")) &&
              bytes_equal(r->worker, bytes_of("one")));
    cr_assert_eq(task_take(&record, &task), ERR_NONE);
    cr_assert(bytes_equal(task.body, bytes_of("line 7")) && !task.many);
}

Test(store, a_result_can_be_read_back_also_before_others_are_committed)
{
    struct store_past past;
    struct store *store = opened(&past);
    unsigned calls = 0;
    bool found;
    put(store, 7, RESULT_EXITED, "out");
    commit(store);
    put(store, 8, RESULT_OK, "");
    cr_assert_eq(store_read(store, 7, check_result, &calls, &found, NULL), ERR_NONE);
    cr_assert(found && calls == 1);
    cr_assert_eq(store_read(store, 6, check_result, &calls, &found, NULL), ERR_NONE);
    cr_assert(!found && calls == 1);
    store_past_free(&past);
    store_close(&store);
}

static void check_args(void *context, const struct result *r)
{
    struct bytes record = r->task;
    struct task task;
    ++*(unsigned *)context;
    cr_assert_eq(task_take(&record, &task), ERR_NONE);
    cr_assert(task.many);
    cr_assert_eq(task_arg_count(task), 2);
}

Test(store, a_task_of_several_arguments_comes_back_as_such_and_is_queried_joined)
{
    struct store_past past;
    struct store *store = opened(&past);
    struct bytes args[] = {bytes_of("a b"), bytes_of("c")};
    struct buf record = {0};
    task_put_args(&record, args, 2);
    struct result r = {.seq = 1, .final = true, .tries = 1, .task = buf_bytes(&record)};
    store_put(store, &r);
    commit(store);
    unsigned calls = 0;
    bool found;
    cr_assert_eq(store_read(store, 1, check_args, &calls, &found, NULL), ERR_NONE);
    cr_assert_eq(calls, 1);
    cr_assert_str_eq(query("SELECT task FROM result"), "a b c");
    buf_free(&record);
    store_past_free(&past);
    store_close(&store);
}

Test(store, hashes_come_in_order)
{
    struct store_past past;
    struct store *store = opened(&past);
    for (uint64_t seq = 1; seq <= 10; seq += 3)
        put(store, seq, RESULT_OK, "");
    struct result unread = {.seq = 2, .final = true, .status = RESULT_TASK_TOO_LARGE};
    store_put(store, &unread);
    commit(store);
    static struct hashed_task hashes[HASHES_MAX];
    struct task task = {false, bytes_of("line 7")};
    cr_assert_eq(store_hashes(store, 2, hashes), 4);
    cr_assert(hashes[0].seq == 2 && hashes[1].seq == 4 && hashes[2].seq == 7 &&
              hashes[3].seq == 10);
    cr_assert(hash_equal(hashes[0].hash, (struct hash){0}), "a task without bytes has no hash");
    cr_assert(hash_equal(hashes[2].hash, task_hash(task)));
    cr_assert_eq(store_hashes(store, 11, hashes), 0);
    store_past_free(&past);
    store_close(&store);
}

Test(store, lengths_of_files_lives_and_the_end_go_with_the_rows)
{
    struct store_past past;
    struct store *store = opened(&past);
    struct store_file output = {"output", 100, 4}, joblog = {"joblog", 7, 0};
    cr_assert_not(store_get_file(store, &output));
    store_set_file(store, &output);
    store_set_file(store, &joblog);
    cr_assert_eq(store_commit_life(store, 1234567, NULL), ERR_NONE);
    store_reopen(store);
    store_finish(store, &(struct store_closing){.total = 50, .doubled = 2, .workers = 3});
    commit(store);
    store_set_file(store, &output);
    cr_assert_not(store_is_dirty(store), "nothing has changed");
    store = opened_again(&store, &past);
    cr_assert(past.closed && past.total == 50 && past.doubled == 2 && past.incarnation == 1234567);
    output = (struct store_file){.name = "output"};
    cr_assert(store_get_file(store, &output) && output.length == 100 && output.next == 4);
    cr_assert_eq(store_commit_life(store, 1234568, NULL), ERR_NONE);
    store = opened_again(&store, &past);
    cr_assert(past.closed && past.incarnation == 1234568, "nothing has been run yet");
    store_reopen(store);
    commit(store);
    store = opened_again(&store, &past);
    cr_assert(!past.closed && past.total == 0);
    store_past_free(&past);
    store_close(&store);
}

static void refused(enum error error, const char *words)
{
    struct store *store = NULL;
    struct store_past past;
    struct why why = {""};
    struct store_options options = plain_options();
    cr_assert_eq(store_open(&store, &options, &past, &why), error, "%s", why.text);
    cr_assert(strstr(why.text, words), "%s", why.text);
    cr_assert_null(store);
}

Test(store, a_second_sink_is_refused)
{
    struct store_past past;
    struct store *store = opened(&past);
    refused(ERR_IN_USE, "in use by another sink");
    store_past_free(&past);
    store_close(&store);
    cr_assert_not(store_is_in_use(path));
    store = opened(&past);
    store_past_free(&past);
    store_close(&store);
}

Test(store, what_is_no_store_is_refused_and_left_alone)
{
    FILE *file = fopen(path, "w");
    fputs("this is a text that is long enough to be read as the head of a file\n", file);
    for (int i = 0; i < 100; i++)
        fputs("and it is no database\n", file);
    fclose(file);
    refused(ERR_INVALID, "no SQLite database");
    unlink(path);
    query("CREATE TABLE mine (a)");
    refused(ERR_INVALID, "another SQLite database");
}

Test(store, one_of_a_newer_zfarm_is_refused)
{
    struct store_past past;
    struct store *store = opened(&past);
    store_past_free(&past);
    store_close(&store);
    query("PRAGMA user_version = 99");
    refused(ERR_VERSION, "newer zfarm");
}

Test(store, a_directory_that_is_not_there_is_named)
{
    snprintf(path, sizeof path, "%s/no/farm.db", dir);
    refused(ERR_IO, "no/farm.db");
}

Test(store, when_the_disk_is_full_all_waits_and_goes_on_later)
{
    struct store_past past;
    struct store *store = opened(&past);
    struct rlimit before, tight;
    put(store, 1, RESULT_OK, "first");
    commit(store);
    char *large = malloc(1 << 20);
    memset(large, 'x', (1 << 20) - 1);
    large[(1 << 20) - 1] = '\0';
    getrlimit(RLIMIT_FSIZE, &before);
    tight = before;
    tight.rlim_cur = 200000;
    setrlimit(RLIMIT_FSIZE, &tight);
    put(store, 2, RESULT_OK, large);
    put(store, 3, RESULT_OK, "third");
    struct why why = {""};
    cr_assert_eq(store_commit(store, &why), ERR_DISK_FULL, "%s", why.text);
    cr_assert(store_is_dirty(store));
    setrlimit(RLIMIT_FSIZE, &before);
    commit(store);
    free(large);
    store = opened_again(&store, &past);
    cr_assert(past.ok == 3 && seqset_has(&past.stored, 3));
    store_past_free(&past);
    store_close(&store);
}

static enum error view_of(struct store_view **view, struct store_job *job, struct why *why)
{
    enum error error = store_view_open(view, path, job, why);
    cr_assert_eq(!error, *view != NULL);
    return error;
}

Test(store, a_reader_sees_what_was_committed_and_changes_nothing)
{
    struct store_past past;
    struct store *store = opened(&past);
    put(store, 2, RESULT_OK, "");
    put(store, 5, RESULT_LOST, "");
    store_finish(store, &(struct store_closing){.total = 9, .not_run = 7, .input_cut = true});
    commit(store);
    put(store, 6, RESULT_OK, "not yet");
    struct store_view *view;
    struct store_job job;
    struct store_row row;
    struct why why = {""};
    bool found;
    cr_assert_eq(view_of(&view, &job, &why), ERR_NONE, "%s", why.text);
    cr_assert(job.closed && job.total == 9 && job.not_run == 7 && job.input_cut);
    commit(store);
    struct task task = {false, bytes_of("line 2")};
    cr_assert(!store_view_next(view, &row, &found, &why) && found);
    cr_assert(row.seq == 2 && row.status == RESULT_OK && hash_equal(row.hash, task_hash(task)));
    cr_assert(!store_view_next(view, &row, &found, &why) && found);
    cr_assert(row.seq == 5 && row.status == RESULT_LOST);
    cr_assert(!store_view_next(view, &row, &found, &why) && !found);
    store_view_close(&view);
    store_past_free(&past);
    store_close(&store);
    view_of(&view, &job, &why);
    store_view_close(&view);
    char log[128];
    snprintf(log, sizeof log, "%s-wal", path);
    cr_assert_neq(access(log, F_OK), 0, "nothing is left beside it");
}

/* It has to be another process: closing a descriptor of the file would end SQLite's locks here. */
Test(store, that_a_sink_has_it_can_be_seen_from_outside)
{
    struct store_past past;
    struct store *store = opened(&past);
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(store_is_in_use(path));
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    store_past_free(&past);
    store_close(&store);
}

/* A process that dies between two commits. */
Test(store, what_was_committed_survives_the_death_of_its_process)
{
    int ready[2];
    char letter;
    cr_assert_eq(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        struct store_past past;
        struct store *store = opened(&past);
        for (uint64_t seq = 1; seq <= 1000; seq++)
            put(store, seq, RESULT_OK, "done");
        commit(store);
        put(store, 1001, RESULT_OK, "not committed");
        if (write(ready[1], "r", 1) == 1)
            pause();
        _exit(1);
    }
    cr_assert_eq(read(ready[0], &letter, 1), 1);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    struct store_past past;
    struct store *store = opened(&past);
    cr_assert_eq(past.stored.members, 1000);
    cr_assert_eq(past.job, 77);
    store_past_free(&past);
    store_close(&store);
}

Test(store, that_an_output_was_cut_is_kept_with_the_process_that_held_it)
{
    struct store_past past;
    struct store *store = opened(&past);
    struct result r = {.seq = 1, .final = true, .tries = 1, .cut = true, .cut_pid = 123};
    store_put(store, &r);
    r = (struct result){.seq = 2, .final = true, .tries = 1};
    store_put(store, &r);
    commit(store);
    cr_assert_str_eq(query("SELECT group_concat(seq || coalesce(cut, '-')) FROM result"),
                     "1123,2-");
    close_it(&store, &past);
}
