/* SPDX-License-Identifier: MPL-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "worker/core/large.h"

/* Results that travel in pieces; how they are kept and sent again is in test_slots_large.c. */
TestSuite(large, .timeout = 60);

enum { TASK = (5 << 19) + 7 };

/* What all pieces bring together. */
static struct buf all_pieces(struct large *l)
{
    struct buf all = {0};
    struct large_sent sent;
    struct block *message;
    struct why why;
    struct frame_head head = {KIND_PIECE, 1, 2, 3};
    while (!large_piece(l, head, bytes_of("w"), &message, &sent, &why) && message) {
        struct bytes body;
        struct piece piece;
        cr_assert_eq(frame_take(block_bytes(message), &head, &body), ERR_NONE);
        cr_assert_eq(piece_take(body, &piece), ERR_NONE);
        cr_assert_eq(piece.offset, all.size);
        buf_put_bytes(&all, piece.content);
        cr_assert_eq(sent.whole, all.size == piece.total);
        block_release(&message);
    }
    return all;
}

Test(large, a_large_task_is_sent_out_of_its_block_and_not_copied)
{
    struct large l = {0};
    struct buf record = {0}, line = {0}, expected = {0};
    for (size_t i = 0; i < TASK; i++)
        buf_put_byte(&line, (uint8_t)(i % 253));
    task_put_line(&record, buf_bytes(&line));
    struct block *block = block_new(&record);
    struct result result = {.seq = 4,
                            .final = true,
                            .status = RESULT_EXITED,
                            .code = 3,
                            .start_us = 5,
                            .duration_ns = 6,
                            .task = block_bytes(block),
                            .command = bytes_of("wc"),
                            .has_hash = true,
                            .hash = {7, 8},
                            .out = bytes_of("out"),
                            .err = bytes_of("error")};
    result_put(&expected, &result);
    struct output out = {.bytes = result.out, .fd = -1}, err = {.bytes = result.err, .fd = -1};
    cr_assert(large_fits(&result, &out, &err, RESULT_INLINE_MAX));
    large_put(&l, &result, &out, &err, block);
    cr_assert_lt(l.size_bytes, 1000);
    large_put(&l, &result, &out, &err, NULL);
    cr_assert_gt(l.size_bytes, TASK);
    block_release(&block);
    l.count = 1; /* the first, then the second */
    struct buf first = all_pieces(&l);
    l.count = 2;
    struct buf second = all_pieces(&l);
    cr_assert(bytes_equal(buf_bytes(&first), buf_bytes(&expected)));
    cr_assert(bytes_equal(buf_bytes(&second), buf_bytes(&expected)));
    buf_free(&first);
    buf_free(&second);
    buf_free(&expected);
    buf_free(&line);
    large_free(&l);
}
