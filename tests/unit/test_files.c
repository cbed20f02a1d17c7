/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/output/files.h"

#include "tests/unit/output_rig.h"

TestSuite(files, .timeout = 60);

static char output[64], joblog[64];

static struct output_files files_opened(const struct files_options *options)
{
    struct output_files f;
    struct why why = {""};
    cr_assert_eq(files_open(&f, options, &why), ERR_NONE, "%s", why.text);
    return f;
}

static void put_and_close(struct output_files *f, const char *out)
{
    struct why why;
    buf_put_text(writer_buf(&f->out), out);
    cr_assert_eq(files_pending_bytes(f) > 0, true);
    cr_assert_eq(files_flush(f, &why), ERR_NONE);
    cr_assert_eq(files_pending_bytes(f), 0);
    files_close(f);
}

Test(files, an_output_is_begun_anew_or_gone_on_with_behind_what_was_committed)
{
    name_file(output);
    struct files_options options = {.output = output};
    struct output_files f = files_opened(&options);
    cr_assert_not(f.output_continues);
    put_and_close(&f, "kept, torn");

    options.output_before = (struct file_before){true, 6};
    f = files_opened(&options);
    cr_assert(f.output_continues);
    expect_written(output, "kept, torn");
    files_begin(&f);
    expect_written(output, "kept, ");
    put_and_close(&f, "more");
    expect_written(output, "kept, more");

    options.output_before.is_known = false;
    f = files_opened(&options);
    files_begin(&f);
    put_and_close(&f, "new");
    expect_written(output, "new");
    unlink(output);
}

Test(files, an_output_that_is_gone_is_not_gone_on_with)
{
    name_file(output);
    struct files_options options = {.output = output, .output_before = {true, 6}};
    struct output_files f = files_opened(&options);
    cr_assert_not(f.output_continues);
    files_close(&f);
    unlink(output);
}

Test(files, a_joblog_has_one_header_however_often_it_is_gone_on_with)
{
    name_file(output);
    name_file(joblog);
    struct files_options options = {.output = output, .joblog = joblog};
    struct result r = result_of(1, "");
    for (int i = 0; i < 2; i++) {
        struct output_files f = files_opened(&options);
        struct why why;
        files_begin(&f);
        files_log(&f, &r);
        cr_assert_eq(files_flush(&f, &why), ERR_NONE);
        options.joblog_before = (struct file_before){true, files_written(&f).joblog};
        files_close(&f);
    }
    char text[4096] = "";
    FILE *file = fopen(joblog, "r");
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    const char *header = strstr(text, "Seq\t");
    cr_assert_eq(header, (const char *)text);
    cr_assert_null(strstr(header + 1, "Seq\t"));
    int lines = 0;
    for (const char *at = text; *at; at++)
        lines += *at == '\n';
    cr_assert_eq(lines, 3);
    unlink(output);
    unlink(joblog);
}

Test(files, a_joblog_on_standard_output_stands_among_the_results_that_go_there)
{
    struct files_options options = {.joblog = "-"};
    struct output_files f = files_opened(&options);
    cr_assert(f.joblog_in_out && !f.has_joblog);
    files_begin(&f);
    cr_assert_gt(writer_pending(&f.out), 0);
    cr_assert_eq(files_end(&f).joblog, 0);
    files_close(&f);

    name_file(output);
    options.output = output;
    f = files_opened(&options);
    cr_assert(!f.joblog_in_out && f.has_joblog);
    files_close(&f);
    unlink(output);
}

Test(files, what_is_broken_has_nothing_to_write_and_waits_for_nothing)
{
    int fds[FILES_MAX];
    name_file(output);
    struct files_options options = {.output = output};
    struct output_files f = files_opened(&options);
    buf_put_text(writer_buf(&f.out), "lost");
    files_note_error(&f, ERR_DISK_FULL);
    cr_assert_eq(files_pending_bytes(&f), 4);
    files_note_error(&f, ERR_CLOSED);
    cr_assert_eq(files_pending_bytes(&f), 0);
    cr_assert_eq(files_blocked_fds(&f, fds), 0);
    cr_assert_eq(files_check(&f, NULL), ERR_NONE);
    files_close(&f);
    unlink(output);
}

Test(files, of_two_errors_the_one_that_does_not_pass_is_told)
{
    cr_assert_eq(files_worse(ERR_DISK_FULL, ERR_CLOSED), ERR_CLOSED);
    cr_assert_eq(files_worse(ERR_CLOSED, ERR_DISK_FULL), ERR_CLOSED);
    cr_assert_eq(files_worse(ERR_NONE, ERR_DISK_FULL), ERR_DISK_FULL);
    cr_assert_eq(files_worse(ERR_DISK_FULL, ERR_NONE), ERR_DISK_FULL);
}
