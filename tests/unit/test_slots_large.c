/* SPDX-License-Identifier: MPL-2.0 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/sys/tempfile.h"
#include "tests/unit/slots_rig.h"

static struct rig r;

static void begin(void)
{
    rig_begin(&r);
    rig_start(&r);
    rig_join(&r);
    v_tasks(&r, 1, 2, 0);
    rig_forget(&r);
}

static void end(void)
{
    rig_end(&r);
}

TestSuite(slots_large, .init = begin, .fini = end, .timeout = 60);

enum { BIG = (3 << 20) - 4 }; /* with a head of five bytes: four pieces, the last of one byte */

static int new_file(void)
{
    struct why why;
    int fd;
    cr_assert_eq(tempfile_open("/tmp", &fd, &why), ERR_NONE, "%s", why.text);
    return fd;
}

static void ends_with(unsigned slot, uint64_t seq, int fd, uint64_t size)
{
    slots_finished(r.s,
                   &(struct outcome){.slot = slot,
                                     .seq = seq,
                                     .out = {.fd = fd, .size = size},
                                     .err = {.fd = -1, .bytes = bytes_of("")}},
                   r.now_ns);
}

/* A result in a file, whose nth byte is n mod 251. */
static void ends_with_file(unsigned slot, uint64_t seq, uint64_t size)
{
    struct why why;
    struct buf content = {0};
    int fd = new_file();
    for (uint64_t i = 0; i < size; i++)
        buf_put_byte(&content, (uint8_t)(i % 251));
    cr_assert_eq(tempfile_write(fd, buf_bytes(&content), 0, &why), ERR_NONE, "%s", why.text);
    buf_free(&content);
    ends_with(slot, seq, fd, size);
}

Test(slots_large, a_large_result_travels_in_pieces_and_is_finished_with_the_last)
{
    ends_with_file(0, 1, BIG);
    rig_expect(&r, "PIECE 1@0+1048576/3145729 PIECE 1@1048576+1048576/3145729 "
                   "PIECE 1@2097152+1048576/3145729 PIECE 1@3145728+1/3145729");
    struct frame_head head;
    struct bytes body;
    struct piece piece;
    frame_take(block_bytes(r.results), &head, &body);
    cr_assert_eq(piece_take(body, &piece), ERR_NONE);
    cr_assert_eq(piece.content.data[0], (BIG - 1) % 251);
    rig_pass(&r, 10 * NS_PER_MS);
    rig_expect(&r, "FINISHED 1");
}

Test(slots_large, pieces_are_made_only_while_little_waits_to_be_sent)
{
    slots_results_pending(r.s, 4 << 20);
    ends_with_file(0, 1, BIG);
    rig_expect(&r, "");
    slots_results_pending(r.s, (4 << 20) - 1);
    rig_expect(&r, "PIECE 1@0+1048576/3145729");
    slots_results_pending(r.s, 0);
    rig_expect(&r, "PIECE 1@1048576+1048576/3145729 PIECE 1@2097152+1048576/3145729 "
                   "PIECE 1@3145728+1/3145729");
}

Test(slots_large, a_new_connection_begins_the_large_result_anew)
{
    slots_results_pending(r.s, (4 << 20) - 1);
    ends_with_file(0, 1, BIG);
    rig_expect(&r, "PIECE 1@0+1048576/3145729");
    slots_results_down(r.s, r.now_ns);
    rig_pass(&r, 150 * NS_PER_MS);
    rig_results_up(&r);
    slots_results_pending(r.s, (4 << 20) - 1);
    rig_expect(&r, "results- results+tcp://sink:5558 PIECE 1@0+1048576/3145729");
}

Test(slots_large, it_is_kept_until_it_is_released)
{
    char *output = calloc(1, (1 << 20) + 1);
    memset(output, 'x', 1 << 20);
    x_ends(&r, 0, 1, RESULT_OK, output);
    free(output);
    rig_expect(&r, "PIECE 1@0+1048576/1048580 PIECE 1@1048576+4/1048580");
    slots_control_down(r.s, r.now_ns);
    rig_forget(&r);
    rig_pass(&r, 150 * NS_PER_MS);
    slots_control_up(r.s, r.now_ns);
    rig_expect(&r, "control+ JOIN run=2 kept=1 of=1");
    v_welcome(&r, (struct worker_welcome){0});
    rig_expect(&r, "lane+tcp://farm:5557 PIECE 1@0+1048576/1048580 PIECE 1@1048576+4/1048580");
    v_released(&r, 1, 1);
    v_sink(&r, 2, "tcp://sink:5558");
    rig_results_up(&r);
    rig_expect(&r, "results- results+tcp://sink:5558 FINISHED 1");
}

Test(slots_large, a_large_failure_that_is_not_final_is_sent_once)
{
    char *output = calloc(1, (1 << 20) + 1);
    memset(output, 'x', 1 << 20);
    x_ends(&r, 0, 1, RESULT_EXITED, output);
    free(output);
    rig_expect(&r, "FAILED 1#1 PIECE 1@0+1048576/1048582 PIECE 1@1048576+6/1048582");
    v_sink(&r, 2, "tcp://sink:5558");
    rig_results_up(&r);
    rig_expect(&r, "results- results+tcp://sink:5558");
}

/* In a file of nothing but a hole; nobody reads it here. */
static void ends_with_hole(unsigned slot, uint64_t seq, uint64_t size)
{
    int fd = new_file();
    cr_assert_eq(ftruncate(fd, (off_t)size), 0);
    ends_with(slot, seq, fd, size);
}

/* They were counted as what they take in memory: a disk filled up behind a sink that did not read. */
Test(slots_large, while_large_results_wait_in_files_nothing_new_is_asked_for_but_a_reserve)
{
    slots_results_pending(r.s, 4 << 20); /* none goes out */
    ends_with_hole(0, 1, UINT64_C(300) << 20);
    rig_pass(&r, 20 * NS_PER_MS);
    uint64_t before = r.credit.tasks;
    ends_with_hole(1, 2, 3 << 20);
    rig_pass(&r, 20 * NS_PER_MS);
    rig_pass(&r, 20 * NS_PER_MS);
    cr_assert_eq(r.credit.tasks, before);
    cr_assert_gt(r.credit.reserve, before);
    v_released(&r, 1, 2);
    rig_pass(&r, 20 * NS_PER_MS);
    cr_assert_gt(r.credit.tasks, before);
}
