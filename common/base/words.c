/* SPDX-License-Identifier: MPL-2.0 */
#include "common/base/words.h"

#include <stdlib.h>

#include "common/base/xalloc.h"

void words_take(struct words *words, char *word)
{
    words->items = xrealloc(words->items, (words->count + 2) * sizeof *words->items);
    words->items[words->count++] = word;
    words->items[words->count] = NULL;
}

void words_add(struct words *words, const char *word)
{
    words_take(words, xstrdup(word));
}

void words_add_all(struct words *words, char *const *list)
{
    while (*list)
        words_add(words, *list++);
}

void words_free(struct words *words)
{
    for (size_t i = 0; i < words->count; i++)
        free(words->items[i]);
    free(words->items);
    *words = (struct words){0};
}
