/* SPDX-License-Identifier: MPL-2.0 */
#include "common/base/block.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/xalloc.h"

struct block {
    atomic_uint holders;
    struct bytes content;
    void (*release)(void *owner);
    void *owner;
};

struct block *block_adopt(struct bytes content, void (*release)(void *owner), void *owner)
{
    struct block *block = xmalloc(sizeof *block);
    atomic_init(&block->holders, 1);
    block->content = content;
    block->release = release;
    block->owner = owner;
    return block;
}

struct block *block_new(struct buf *content)
{
    struct block *block = block_adopt(buf_bytes(content), free, content->data);
    *content = (struct buf){0};
    return block;
}

/* `owner` is the block itself. */
static void unmap(void *owner)
{
    struct bytes content = ((struct block *)owner)->content;
    munmap((void *)(uintptr_t)content.data, content.size);
}

struct block *block_map(struct bytes content)
{
    struct block *block = block_adopt(content, unmap, NULL);
    block->owner = block;
    return block;
}

void block_cool(const struct block *block, struct bytes part)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = (uintptr_t)part.data & ~(page - 1);
    uintptr_t to = ((uintptr_t)part.data + part.size) & ~(page - 1);
    if (block->release == unmap && to > from)
        madvise((void *)from, to - from, MADV_DONTNEED);
}

struct block *block_copy(struct bytes content)
{
    struct buf copy = {0};
    buf_put_bytes(&copy, content);
    return block_new(&copy);
}

struct block *block_hold(struct block *block)
{
    atomic_fetch_add_explicit(&block->holders, 1, memory_order_relaxed);
    return block;
}

bool block_is_shared(const struct block *block)
{
    return atomic_load_explicit(&block->holders, memory_order_acquire) > 1;
}

static void block_let_go(struct block *block)
{
    unsigned before = atomic_fetch_sub_explicit(&block->holders, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before == 1) {
        block->release(block->owner);
        free(block);
    }
}

void block_release(struct block **block)
{
    if (*block)
        block_let_go(*block);
    *block = NULL;
}

struct bytes block_bytes(const struct block *block)
{
    return block->content;
}

void block_release_message(void *data, void *hint)
{
    (void)data;
    block_let_go(hint);
}
