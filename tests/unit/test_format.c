/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/output/format.h"

#include "common/base/block.h"
#include "tests/unit/output_rig.h"

TestSuite(format, .timeout = 60);

static void put_some_tries(void *context, const struct result *r, struct buf *to)
{
    cr_assert_eq(r->seq, 7);
    buf_put_text(to, context);
}

Test(format, jsonl_shows_the_tries_that_its_output_has_kept)
{
    static char tries[] = "{\"attempt\":1}";
    struct formatter f = {.format = FORMAT_JSONL, .put_tries = put_some_tries, .context = tries};
    struct buf out = {0}, err = {0};
    struct result r = result_of(7, "seven");
    cr_assert(formatter_shows_tries(&f));
    formatter_put(&f, &r, &out, &err);
    buf_put_byte(&out, '\0');
    cr_assert_not_null(strstr((char *)out.data, tries));
    cr_assert_not_null(strstr((char *)out.data, "\"stdout\":\"seven\""));
    cr_assert_eq(err.size, 0);
    buf_free(&out);
    buf_free(&err);
    formatter_free(&f);
}

Test(format, text_needs_nothing_of_workers_and_jsonl_their_times_and_tasks)
{
    cr_assert_eq(format_wants(FORMAT_TEXT), 0);
    cr_assert_eq(format_wants(FORMAT_JSONL), WANT_TIMES | WANT_TASK);
}

Test(format, only_text_without_a_tag_leaves_large_outputs_in_their_file)
{
    struct buf bytes = {0};
    buf_put_text(&bytes, "large");
    struct block *block = block_new(&bytes);
    struct result small = result_of(7, ""), large = small;
    large.holder = block;
    cr_assert(formatter_leaves_in_file(&(struct formatter){.format = FORMAT_TEXT}, &large));
    cr_assert_not(formatter_leaves_in_file(&(struct formatter){.format = FORMAT_TEXT}, &small));
    cr_assert_not(formatter_leaves_in_file(
        &(struct formatter){.format = FORMAT_TEXT, .text = {.tag = true}}, &large));
    cr_assert_not(formatter_leaves_in_file(&(struct formatter){.format = FORMAT_JSONL}, &large));
    block_release(&block);
}

Test(format, what_is_left_in_its_file_is_written_from_there_with_its_reason_behind_it)
{
    struct output_files files = {0};
    struct formatter f = {.format = FORMAT_TEXT};
    struct buf bytes = {0};
    buf_put_text(&bytes, "outerr");
    struct block *block = block_new(&bytes);
    struct bytes all = block_bytes(block);
    struct result r = {.seq = 7,
                       .final = true,
                       .status = RESULT_TIMED_OUT,
                       .out = {all.data, 3},
                       .err = {all.data + 3, 3},
                       .holder = block};
    formatter_print(&f, &r, &files);
    cr_assert_eq(files.out.pieces_size, 3);
    cr_assert_eq(files.err.pieces_size, 3);
    cr_assert_eq(writer_buf(&files.out)->size, 0);
    cr_assert_gt(writer_buf(&files.err)->size, 0);
    block_release(&block);
    files.out.fd = files.err.fd = files.joblog.fd = -1;
    files_close(&files);
}
