/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/output/direct.h"

#include <signal.h>
#include <sys/resource.h>

#include "tests/unit/output_rig.h"

TestSuite(direct, .timeout = 60);

static struct output_rig rig;

static void direct_opened(struct direct_options options, enum output_format format)
{
    struct why why = {""};
    rig = (struct output_rig){.formatter = {.format = format}, .kind = &direct_output};
    name_file(rig.path);
    struct files_options files = {.output = rig.path};
    cr_assert_eq(files_open(&rig.files, &files, &why), ERR_NONE, "%s", why.text);
    if (!options.tmpdir)
        options.tmpdir = "/tmp";
    rig.self = direct_new(&options, &rig.files, &rig.formatter);
    files_begin(&rig.files);
}

Test(direct, without_order_a_result_is_stored_when_its_bytes_are_written)
{
    direct_opened((struct direct_options){0}, FORMAT_TEXT);
    cr_assert(rig_state(&rig).is_empty);
    rig_accept(&rig, 2, "two\n");
    struct output_state state = rig_state(&rig);
    cr_assert(!state.is_empty && state.pending_bytes == 4 && !state.is_ready);
    cr_assert_eq(rig_flush(&rig), ERR_NONE);
    rig_accept(&rig, 1, "one\n");
    cr_assert_eq(rig_flush(&rig), ERR_NONE);
    expect_written(rig.path, "two\none\n");
    state = rig_state(&rig);
    cr_assert(state.is_empty && state.given == 2 && state.stored == 2);
    rig_close(&rig);
}

Test(direct, in_order_a_result_is_stored_when_the_window_has_it_and_written_when_its_turn_comes)
{
    direct_opened((struct direct_options){.keep_order = true, .spool_max = 1 << 20}, FORMAT_TEXT);
    rig_accept(&rig, 3, "three\n");
    cr_assert_eq(rig_flush(&rig), ERR_NONE);
    cr_assert(rig_has_stored(&rig));
    expect_written(rig.path, "");
    rig_accept(&rig, 1, "one\n");
    struct seqset none = {0};
    seqset_add(&none, 2, 2);
    direct_output.skip(rig.self, &none);
    seqset_free(&none);
    cr_assert(rig_state(&rig).is_ready && rig_state(&rig).prints && !rig_state(&rig).is_empty);
    cr_assert_eq(rig_flush(&rig), ERR_NONE);
    expect_written(rig.path, "one\nthree\n");
    cr_assert(rig_state(&rig).is_empty && !rig_state(&rig).is_ready);
    rig_close(&rig);
}

Test(direct, tries_that_failed_are_in_the_object_of_their_task)
{
    direct_opened((struct direct_options){0}, FORMAT_JSONL);
    struct result failed = result_of(1, "first");
    failed.final = false;
    failed.status = RESULT_EXITED;
    failed.code = 1;
    direct_output.accept(rig.self, &failed);
    cr_assert_eq(files_pending_bytes(&rig.files), 0, "it waits for its task");
    rig_accept(&rig, 1, "second");
    struct buf *out = writer_buf(&rig.files.out);
    buf_put_byte(out, '\0');
    const char *tries = strstr((char *)out->data, "\"tries\":[");
    cr_assert_not_null(tries);
    cr_assert_not_null(strstr(tries, "first"));
    rig_close(&rig);
}

/* 5 MiB, of which the window holds one. */
static void accept_five_mebibytes(uint64_t seq)
{
    static char text[(5 << 20) + 1];
    memset(text, 'x', sizeof text - 1);
    rig_accept(&rig, seq, text);
}

static void limit_files(rlim_t size_bytes)
{
    struct rlimit limit = {size_bytes, RLIM_INFINITY};
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

Test(direct, what_the_disk_of_the_window_has_no_room_for_is_stuck_until_it_has)
{
    direct_opened((struct direct_options){.keep_order = true, .spool_max = 1 << 30}, FORMAT_TEXT);
    signal(SIGXFSZ, SIG_IGN);
    limit_files(1 << 20);
    for (uint64_t seq = 2; seq <= 4; seq++)
        accept_five_mebibytes(seq);
    struct output_state state = rig_state(&rig);
    cr_assert(state.is_stuck && state.is_full && !state.is_empty);
    cr_assert_eq(rig_flush(&rig), ERR_DISK_FULL);
    cr_assert_not(rig_has_stored(&rig));
    limit_files(RLIM_INFINITY);
    cr_assert_eq(rig_flush(&rig), ERR_NONE);
    cr_assert(!rig_state(&rig).is_stuck && rig_has_stored(&rig));
    rig_close(&rig);
}

Test(direct, once_the_output_cannot_be_completed_all_counts_as_stored)
{
    direct_opened((struct direct_options){0}, FORMAT_TEXT);
    rig_accept(&rig, 1, "one\n");
    rig.files.broken = true;
    rig_accept(&rig, 2, "two\n");
    cr_assert_eq(rig_flush(&rig), ERR_NONE);
    cr_assert(rig_has_stored(&rig) && rig_state(&rig).is_empty);
    expect_written(rig.path, "");
    rig_close(&rig);
}
