/* SPDX-License-Identifier: MPL-2.0 */
#include "common/input/command_line.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "common/base/quote.h"

const char *command_line_executor(const struct command_line *c)
{
    return c->plugin ? "plugin" : c->coprocess ? "coprocess" : c->shell ? "shell" : "command";
}

/* One behind the other, with a blank between two. */
static void join_words(struct buf *to, const struct command_line *c)
{
    for (size_t i = 0; i < c->count; i++) {
        if (i)
            buf_put_byte(to, ' ');
        buf_put_text(to, c->words[i]);
    }
}

static void put_word(struct buf *to, size_t from, const char *word)
{
    if (to->size > from)
        buf_put_byte(to, ' ');
    shell_quote(to, bytes_of(word));
}

void command_line_put(struct buf *to, const struct command_line *c)
{
    size_t from = to->size;
    if (c->plugin) {
        put_word(to, from, "--plugin");
        put_word(to, from, c->plugin);
    }
    if (c->coprocess)
        put_word(to, from, "--coprocess");
    if (c->coprocess && c->null)
        put_word(to, from, "-0");
    if (c->pipe)
        put_word(to, from, "--pipe");
    if (c->replacement) {
        put_word(to, from, "-I");
        put_word(to, from, c->replacement);
    }
    if (c->shell) {
        struct buf line = {0};
        put_word(to, from, "--shell");
        join_words(&line, c);
        buf_put_byte(&line, '\0');
        if (c->count)
            put_word(to, from, (const char *)line.data);
        buf_free(&line);
        return;
    }
    for (size_t i = 0; i < c->count; i++)
        put_word(to, from, c->words[i]);
}

struct hash command_line_hash(const struct command_line *c)
{
    struct buf text = {0};
    buf_printf(&text, "%s%c%s%c%d%d%d%d%c", c->plugin ? c->plugin : "", 0,
               c->replacement ? c->replacement : "", 0, c->shell, c->coprocess,
               c->coprocess && c->null, c->pipe, 0);
    if (c->shell)
        join_words(&text, c);
    for (size_t i = 0; i < c->count && !c->shell; i++)
        buf_put(&text, c->words[i], strlen(c->words[i]) + 1);
    XXH128_hash_t hash = XXH3_128bits(text.data, text.size);
    buf_free(&text);
    return (struct hash){hash.high64, hash.low64};
}

void command_line_hash_text(struct hash hash, char text[static COMMAND_LINE_HASH_SIZE])
{
    snprintf(text, COMMAND_LINE_HASH_SIZE, "%016" PRIx64 "%016" PRIx64, hash.high, hash.low);
}

enum error command_line_hash_parse(const char *text, void *target, struct why *why)
{
    struct hash *hash = target;
    if (strlen(text) == COMMAND_LINE_HASH_SIZE - 1 &&
        strspn(text, "0123456789abcdef") == COMMAND_LINE_HASH_SIZE - 1 &&
        sscanf(text, "%16" SCNx64 "%16" SCNx64, &hash->high, &hash->low) == 2)
        return ERR_NONE;
    return fail(why, ERR_INVALID, "%s is no hash, which has 32 hexadecimal digits", text);
}
