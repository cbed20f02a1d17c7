/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_BYTES_H
#define ZFARM_BYTES_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bytes that another object owns: valid as long as the owner says. */
struct bytes {
    const uint8_t *data;
    size_t size;
};

struct bytes bytes_of(const char *text); /* without the closing NUL */
bool bytes_equal(struct bytes a, struct bytes b);

/* Bytes that grow. Zero-initialised is empty; embed it by value. Growing ends the process when
 * memory is out (xalloc.h), so nothing here fails; a caller that fills one from outside keeps a limit. */
struct buf {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

void buf_free(struct buf *b);              /* frees the memory; b is empty and may be used again */
void buf_clear(struct buf *b);             /* size 0, the memory is kept */
void buf_grow(struct buf *b, size_t more); /* for buf_reserve */

/* Makes room for `more` bytes behind the end and returns where they go; add to b->size what was
 * written there. */
static inline uint8_t *buf_reserve(struct buf *b, size_t more)
{
    if (more > b->capacity - b->size || !b->data)
        buf_grow(b, more);
    return b->data + b->size;
}

static inline void buf_put(struct buf *b, const void *data, size_t size)
{
    if (size == 0)
        return;
    memcpy(buf_reserve(b, size), data, size);
    b->size += size;
}

static inline void buf_put_bytes(struct buf *b, struct bytes bytes)
{
    buf_put(b, bytes.data, bytes.size);
}

static inline void buf_put_byte(struct buf *b, uint8_t byte)
{
    *buf_reserve(b, 1) = byte;
    b->size++;
}

void buf_put_text(struct buf *b, const char *text); /* without the closing NUL */
void buf_printf(struct buf *b, const char *format, ...)
    __attribute__((format(printf, 2, 3), nonnull));
/* Removes the first `size` bytes (moves what is behind them). */
void buf_drop_front(struct buf *b, size_t size);
struct bytes buf_bytes(const struct buf *b); /* valid until b changes */

#endif
