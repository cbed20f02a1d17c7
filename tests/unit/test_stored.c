/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/store/stored.h"

#include "tests/unit/output_rig.h"
#include "tests/unit/store_rig.h"

TestSuite(stored, .timeout = 60, .init = make_dir, .fini = remove_dir);

static struct output_rig rig;

static struct stored *stored_of(void)
{
    return rig.self;
}

/* `output` is a file that was there before, or "" for a new one. */
static void stored_opened(bool keep_order, const char *output)
{
    struct stored_options options = {.store = plain_options(), .keep_order = keep_order};
    struct stored *stored = NULL;
    struct why why = {""};
    rig = (struct output_rig){.kind = &stored_output};
    if (*output)
        strcpy(rig.path, output);
    else
        name_file(rig.path);
    struct files_options files = {.output = rig.path};
    enum error error = stored_open(&stored, &options, &rig.files, &rig.formatter, &why);
    cr_assert_eq(error, ERR_NONE, "%s", why.text);
    rig.self = stored;
    stored_tell_files(stored, &files);
    cr_assert_eq(files_open(&rig.files, &files, &why), ERR_NONE, "%s", why.text);
    stored_plan(stored);
}

static void stored_begins(void)
{
    stored_output.begin(rig.self);
    files_begin(&rig.files);
}

/* As if the sink was killed: what is not committed is gone, the output stays. Opened again. */
static void stored_dies(bool keep_order)
{
    char output[64];
    strcpy(output, rig.path);
    rig.path[0] = '\0';
    rig_close(&rig);
    stored_opened(keep_order, output);
}

Test(stored, a_result_is_stored_when_it_is_committed_and_that_is_after_its_bytes_were_written)
{
    stored_opened(false, "");
    stored_begins();
    rig_accept(&rig, 2, "two\n");
    cr_assert(!rig_state(&rig).is_empty && rig_state(&rig).prints);
    cr_assert_gt(rig_state(&rig).pending_bytes, 4);
    cr_assert_eq(rig_flush(&rig), ERR_NONE);
    expect_written(rig.path, "two\n");
    cr_assert_str_eq(query("SELECT count(*) FROM result"), "1");
    cr_assert(rig_has_stored(&rig) && rig_state(&rig).is_empty);
    rig_close(&rig);
}

Test(stored, nothing_is_written_or_committed_before_the_job_begins)
{
    stored_opened(false, "");
    stored_begins();
    rig_accept(&rig, 1, "one\n");
    cr_assert_eq(rig_flush(&rig), ERR_NONE);
    unlink(rig.path); /* so all of it is to be printed again, to a new one */
    stored_dies(false);
    cr_assert_eq(stored_past(stored_of())->ok, 1);
    cr_assert_eq(rig_flush(&rig), ERR_NONE);
    expect_written(rig.path, "");
    cr_assert_not(rig_state(&rig).is_ready);
    stored_begins();
    cr_assert(rig_state(&rig).is_ready);
    cr_assert_eq(rig_flush(&rig), ERR_NONE);
    expect_written(rig.path, "one\n");
    rig_close(&rig);
}

Test(stored, what_was_written_and_not_committed_is_cut_off_when_the_job_is_taken_up_again)
{
    stored_opened(false, "");
    stored_begins();
    rig_accept(&rig, 1, "one\n");
    cr_assert_eq(rig_flush(&rig), ERR_NONE);
    rig_accept(&rig, 2, "two\n");
    struct why why;
    cr_assert_eq(files_flush(&rig.files, &why), ERR_NONE);
    expect_written(rig.path, "one\ntwo\n");
    stored_dies(false);
    cr_assert_eq(stored_past(stored_of())->stored.members, 1);
    stored_begins();
    expect_written(rig.path, "one\n");
    rig_accept(&rig, 2, "two\n");
    cr_assert_eq(rig_flush(&rig), ERR_NONE);
    expect_written(rig.path, "one\ntwo\n");
    rig_close(&rig);
}

Test(stored, in_order_what_has_its_turn_is_printed_out_of_the_store_also_by_a_later_run)
{
    stored_opened(true, "");
    stored_begins();
    rig_accept(&rig, 3, "three\n");
    rig_accept(&rig, 1, "one\n");
    cr_assert_eq(rig_flush(&rig), ERR_NONE);
    expect_written(rig.path, "one\n");
    cr_assert(rig_has_stored(&rig));
    cr_assert_eq(rig_flush(&rig), ERR_NONE); /* commits how far the output is */
    stored_dies(true);
    stored_begins();
    rig_accept(&rig, 2, "two\n");
    cr_assert_eq(rig_flush(&rig), ERR_NONE);
    expect_written(rig.path, "one\ntwo\nthree\n");
    rig_close(&rig);
}

Test(stored, an_output_that_cannot_be_completed_does_not_keep_results_from_being_committed)
{
    stored_opened(false, "");
    stored_begins();
    rig.files.broken = true;
    rig_accept(&rig, 1, "one\n");
    cr_assert_eq(rig_flush(&rig), ERR_NONE);
    cr_assert_str_eq(query("SELECT count(*) FROM result"), "1");
    cr_assert_str_eq(query("SELECT count(*) FROM file"), "0");
    cr_assert(rig_has_stored(&rig) && rig_state(&rig).is_empty);
    rig_close(&rig);
}

Test(stored, another_command_than_the_one_before_is_news_once)
{
    struct hash first = {1, 1}, second = {2, 2};
    stored_opened(false, "");
    stored_begins();
    cr_assert_not(stored_note_command(stored_of(), (struct hash){0}));
    cr_assert_not(stored_note_command(stored_of(), first), "none was known");
    cr_assert_not(stored_note_command(stored_of(), first));
    cr_assert(stored_note_command(stored_of(), second));
    cr_assert_not(stored_note_command(stored_of(), second));
    rig_close(&rig);
}

Test(stored, the_end_of_the_job_is_committed)
{
    struct store_closing closing = {.total = 3, .not_run = 2};
    struct why why;
    stored_opened(false, "");
    stored_begins();
    rig_accept(&rig, 1, "one\n");
    cr_assert_eq(rig_flush(&rig), ERR_NONE);
    cr_assert_eq(stored_finish(stored_of(), &closing, &why), ERR_NONE);
    cr_assert_str_eq(query("SELECT total || ' ' || not_run FROM job WHERE closed > 0"), "3 2");
    rig_close(&rig);
}
