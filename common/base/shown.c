/* SPDX-License-Identifier: MPL-2.0 */
#include "common/base/shown.h"

#include "common/base/utf8.h"
#include "common/base/xalloc.h"

/* `size` bytes of one character, or one byte that is none. */
static bool is_control(const uint8_t *at, size_t size)
{
    if (size == 2)
        return at[0] == 0xc2 && at[1] < 0xa0;
    return size == 1 && (at[0] < ' ' || (at[0] >= 0x7f && at[0] < 0xa0));
}

/* `to` may be `from`. */
static size_t write_shown(uint8_t *to, const uint8_t *from, size_t size)
{
    size_t written = 0;
    for (size_t i = 0; i < size;) {
        size_t step = utf8_sequence(from + i, size - i);
        step = step ? step : 1;
        if (is_control(from + i, step)) {
            to[written++] = from[i] == '\t' || from[i] == '\n' ? ' ' : '?';
        } else {
            memmove(to + written, from + i, step);
            written += step;
        }
        i += step;
    }
    return written;
}

void shown_put(struct buf *to, struct bytes text)
{
    to->size += write_shown(buf_reserve(to, text.size), text.data, text.size);
}

size_t shown_in_place(char *text, size_t size)
{
    return write_shown((uint8_t *)text, (const uint8_t *)text, size);
}

char *shown_copy(struct bytes text)
{
    char *copy = xmalloc(text.size + 1);
    copy[write_shown((uint8_t *)copy, text.data, text.size)] = '\0';
    return copy;
}
