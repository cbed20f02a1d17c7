/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_WORDS_H
#define ZFARM_WORDS_H

#include <stddef.h>

/* A list of words that grows, in the shape of an argv: once it has a word, `items` ends with NULL.
 * Zero-initialised is empty; embed it by value. It owns copies of its words. */
struct words {
    char **items;
    size_t count;
};

void words_add(struct words *words, const char *word);
void words_add_all(struct words *words, char *const *list); /* up to its NULL */
void words_take(struct words *words, char *word); /* takes over what malloc or xasprintf made */
void words_free(struct words *words);             /* empty afterwards, may be used again */

#endif
