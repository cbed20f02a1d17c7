/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_VARINT_H
#define ZFARM_VARINT_H

#include "common/base/bytes.h"

/* LEB128: seven bits a byte, least significant first, the top bit says that more follows (DWARF 5,
 * section 7.6). A number below 128 takes one byte, the largest ten. */
enum { VARINT_SIZE_MAX = 10 };

static inline size_t varint_write(uint8_t *to, uint64_t value)
{
    size_t size = 0;
    while (value >= 0x80) {
        to[size++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    to[size++] = (uint8_t)value;
    return size;
}

/* The same number in exactly `width` bytes, for a place that is filled in later. It must fit. */
static inline void varint_write_padded(uint8_t *to, uint64_t value, size_t width)
{
    for (size_t i = 0; i + 1 < width; i++, value >>= 7)
        to[i] = (uint8_t)(value | 0x80);
    to[width - 1] = (uint8_t)(value & 0x7f);
}

static inline void varint_put(struct buf *to, uint64_t value)
{
    to->size += varint_write(buf_reserve(to, VARINT_SIZE_MAX), value);
}

/* Reads a number at `*at`, not beyond `end`, and moves `*at` behind it. Returns false, and leaves
 * `*at`, when the bytes end in the middle of it or it does not fit 64 bits. Most numbers are small. */
static inline bool varint_take(const uint8_t **at, const uint8_t *end, uint64_t *value)
{
    uint64_t result = 0;
    const uint8_t *p = *at;
    if (p < end && *p < 0x80) {
        *value = *p;
        *at = p + 1;
        return true;
    }
    for (unsigned shift = 0; p < end && shift < 64; shift += 7) {
        uint8_t byte = *p++;
        if (shift == 63 && byte > 1)
            return false;
        result |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *at = p;
            *value = result;
            return true;
        }
    }
    return false;
}

#endif
