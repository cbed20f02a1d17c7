/* SPDX-License-Identifier: MPL-2.0 */
#include "common/base/quote.h"

#include <stdbool.h>
#include <string.h>

static bool needs_no_quotes(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("_./+-", c));
}

void shell_quote(struct buf *to, struct bytes word)
{
    size_t plain = 0;
    while (plain < word.size && needs_no_quotes(word.data[plain]))
        plain++;
    if (plain == word.size && word.size) {
        buf_put_bytes(to, word);
        return;
    }
    if (!word.size)
        buf_put_text(to, "''");
    for (size_t i = 0; i < word.size;) {
        if (word.data[i] == '\'') {
            buf_put_text(to, "\"'\"");
            i++;
            continue;
        }
        const uint8_t *quote = memchr(word.data + i, '\'', word.size - i);
        size_t size = quote ? (size_t)(quote - word.data) - i : word.size - i;
        buf_put_byte(to, '\'');
        buf_put(to, word.data + i, size);
        buf_put_byte(to, '\'');
        i += size;
    }
}
