/* SPDX-License-Identifier: MPL-2.0 */
#include "common/base/bytes.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/xalloc.h"

struct bytes bytes_of(const char *text)
{
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

void buf_free(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

void buf_clear(struct buf *b)
{
    b->size = 0;
}

void buf_grow(struct buf *b, size_t more)
{
    assert(more <= SIZE_MAX / 4 - b->size);
    size_t needed = b->size + more;
    size_t capacity = b->capacity ? b->capacity * 2 : 64;
    b->capacity = capacity < needed ? needed : capacity;
    b->data = xrealloc(b->data, b->capacity);
}

void buf_put_text(struct buf *b, const char *text)
{
    buf_put(b, text, strlen(text));
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, args);
    assert(size >= 0);
    vsnprintf((char *)buf_reserve(b, (size_t)size + 1), (size_t)size + 1, format, again);
    b->size += (size_t)size;
    va_end(again);
    va_end(args);
}

void buf_drop_front(struct buf *b, size_t size)
{
    assert(size <= b->size);
    b->size -= size;
    if (b->size && size)
        memmove(b->data, b->data + size, b->size);
}

struct bytes buf_bytes(const struct buf *b)
{
    return (struct bytes){b->data, b->size};
}
