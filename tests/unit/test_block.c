/* SPDX-License-Identifier: MPL-2.0 */
#include "common/base/block.h"

#include <criterion/criterion.h>

TestSuite(block, .timeout = 60);

Test(block, takes_over_the_memory_of_the_buffer)
{
    struct buf content = {0};
    buf_put_text(&content, "hello");
    const uint8_t *memory = content.data;
    struct block *block = block_new(&content);
    cr_assert_null(content.data);
    cr_assert_eq(block_bytes(block).data, memory);
    cr_assert(bytes_equal(block_bytes(block), bytes_of("hello")));
    block_release(&block);
    cr_assert_null(block);
}

Test(block, lives_until_the_last_holder_lets_go)
{
    struct block *mine = block_copy(bytes_of("kept"));
    struct block *yours = block_hold(mine);
    block_release(&mine);
    cr_assert(bytes_equal(block_bytes(yours), bytes_of("kept")));
    block_release_message(NULL, yours);
    block_release(&mine);
}

static void note_release(void *owner)
{
    *(int *)owner += 1;
}

Test(block, gives_adopted_memory_back_once_when_the_last_holder_lets_go)
{
    int released = 0;
    struct block *block = block_adopt(bytes_of("of somebody else"), note_release, &released);
    struct block *other = block_hold(block);
    block_release(&block);
    cr_assert_eq(released, 0);
    cr_assert(bytes_equal(block_bytes(other), bytes_of("of somebody else")));
    block_release(&other);
    cr_assert_eq(released, 1);
}

Test(block, knows_whether_somebody_else_holds_it)
{
    struct block *mine = block_copy(bytes_of("kept"));
    cr_assert(!block_is_shared(mine));
    struct block *yours = block_hold(mine);
    cr_assert(block_is_shared(mine));
    block_release(&yours);
    cr_assert(!block_is_shared(mine));
    block_release(&mine);
}
