/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/input/expand.h"
#include "common/base/quote.h"
#include "common/base/xalloc.h"
#include "tests/fuzz/steps.h"

/* COMMAND, which is the operator's, and a task, which is anybody's: how they become a command. What a
 * shell is given must come out of it as the words that went in, so that no task escapes its quotes.
 *
 * An octet for the mode, one for the number of words, each word with an octet for its size; the rest
 * are the task's arguments, likewise. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WORDS_MAX = 6, ARGS_MAX = 6 };

/* Reads the next word of a command line as a POSIX shell does. Fails if it finds what means more to a
 * shell than itself. False: there is none left. */
static bool next_word(const char **at, struct buf *word)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-";
    buf_clear(word);
    if (!**at)
        return false;
    for (; **at && **at != ' '; ++*at) {
        if (**at == '\'' || **at == '"') {
            const char *end = strchr(*at + 1, **at);
            assert(end);
            if (**at == '"')
                assert(!memchr(*at, '$', (size_t)(end - *at)) &&
                       !memchr(*at, '`', (size_t)(end - *at)) &&
                       !memchr(*at, '\\', (size_t)(end - *at)));
            buf_put(word, *at + 1, (size_t)(end - *at) - 1);
            *at = end;
        } else {
            assert(strchr(plain, **at));
            buf_put_byte(word, (uint8_t) * *at);
        }
    }
    *at += **at == ' ';
    buf_put_byte(word, '\0');
    return true;
}

static void must_be_quoted(struct bytes arg)
{
    struct buf line = {0}, word = {0};
    shell_quote(&line, arg);
    buf_put_byte(&line, '\0');
    const char *at = (const char *)line.data;
    bool found = next_word(&at, &word);
    assert(found && !*at && word.size == arg.size + 1);
    assert(!arg.size || memcmp(word.data, arg.data, arg.size) == 0);
    buf_free(&line);
    buf_free(&word);
}

static void must_be_words(struct buf *line, char *const *argv)
{
    struct buf word = {0};
    buf_put_byte(line, '\0');
    const char *at = (const char *)line->data;
    for (; *argv; argv++) {
        bool found = next_word(&at, &word);
        assert(found && strcmp((const char *)word.data, *argv) == 0);
    }
    assert(!next_word(&at, &word));
    buf_free(&word);
}

static bool has_nul(struct bytes arg)
{
    return arg.size && memchr(arg.data, '\0', arg.size);
}

static void try_task(struct expand *expand, unsigned mode, struct steps *steps)
{
    struct bytes args[ARGS_MAX];
    size_t count = 0;
    bool nul = false;
    do {
        args[count] = next_octets(steps, next_octet(steps));
        nul = nul || has_nul(args[count++]);
    } while (count < ARGS_MAX && steps->at < steps->end);
    struct buf record = {0}, line = {0};
    task_put_args(&record, args, count);
    struct bytes records = buf_bytes(&record);
    struct expand_values values = {.seq = 7, .slot = 3};
    enum error error = task_take(&records, &values.task);
    assert(!error);
    char *const *argv;
    error = expand_argv(expand, &values, &argv);
    assert((error != ERR_NONE) == (nul && !(mode & EXPAND_PIPE)));
    if (!error && mode & EXPAND_SHELL)
        assert(strcmp(argv[0], "sh") == 0 && strcmp(argv[1], "-c") == 0 && argv[2] && !argv[3]);
    if (!error)
        error = expand_line(expand, &values, &line);
    if (!error && !(mode & EXPAND_SHELL))
        must_be_words(&line, argv);
    for (size_t i = 0; !nul && i < count; i++)
        must_be_quoted(args[i]);
    buf_free(&record);
    buf_free(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct steps steps = {data, data + size};
    unsigned bits = next_octet(&steps), mode = bits & 3;
    size_t count = next_octet(&steps) % (WORDS_MAX + 1);
    char *words[WORDS_MAX] = {0};
    for (size_t i = 0; i < count; i++) {
        struct bytes word = next_octets(&steps, next_octet(&steps));
        words[i] = xstrndup(word.size ? (const char *)word.data : "", word.size);
    }
    struct expand *expand = NULL;
    struct why why = {""};
    const char *replacement = bits & 4 ? bits & 8 ? ",," : "{}" : NULL;
    if (!expand_new(&expand, mode, (const char *const *)words, count, replacement, &why))
        try_task(expand, mode, &steps);
    else
        assert(why.text[0]);
    expand_free(&expand);
    for (size_t i = 0; i < count; i++)
        free(words[i]);
    return 0;
}
