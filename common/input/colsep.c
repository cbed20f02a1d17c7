/* SPDX-License-Identifier: MPL-2.0 */
#include "common/input/colsep.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/xalloc.h"

/* Writes a tab for each \t, which POSIX does not know; `text` becomes shorter. */
static void translate_tabs(char *text)
{
    char *to = text;
    for (const char *at = text; *at; at++) {
        if (at[0] == '\\' && at[1] == 't') {
            *to++ = '\t';
            at++;
        } else {
            if (at[0] == '\\' && at[1])
                *to++ = *at++;
            *to++ = *at;
        }
    }
    *to = '\0';
}

/* The byte that `pattern` matches if it can match no other; -1 otherwise. */
static int only_byte(const char *pattern)
{
    static const char special[] = ".[]{}()\\*+?^$|";
    if (strlen(pattern) == 1 && !strchr(special, pattern[0]))
        return (unsigned char)pattern[0];
    if (strlen(pattern) == 2 && pattern[0] == '\\' && strchr(special, pattern[1]))
        return (unsigned char)pattern[1];
    return -1;
}

enum error colsep_open(struct colsep *colsep, const char *pattern, struct why *why)
{
    int wrong = 0;
    char *translated = xstrdup(pattern), reason[200] = "it is empty";
    translate_tabs(translated);
    colsep->byte = only_byte(translated);
    if (colsep->byte < 0 && *translated)
        wrong = regcomp(&colsep->regex, translated, REG_EXTENDED);
    if (wrong)
        regerror(wrong, &colsep->regex, reason, sizeof reason);
    bool empty = !*translated;
    free(translated);
    if (wrong || empty)
        return fail(
            why, ERR_INVALID,
            "--colsep: '%.200s' is no regular expression: %s; right ones are , and '\\t' and "
            "' +'",
            pattern, reason);
    return ERR_NONE;
}

void colsep_close(struct colsep *colsep)
{
    if (colsep->byte < 0)
        regfree(&colsep->regex);
}

/* Finds the first separator at `from` or behind it. */
static bool colsep_find(const struct colsep *colsep, struct bytes value, size_t from, size_t *start,
                        size_t *end)
{
    if (colsep->byte >= 0) {
        const uint8_t *found = memchr(value.data + from, colsep->byte, value.size - from);
        *start = found ? (size_t)(found - value.data) : 0;
        *end = *start + 1;
        return found;
    }
    for (; from < value.size; from++) {
        regmatch_t match = {(regoff_t)from, (regoff_t)value.size};
        if (regexec(&colsep->regex, (const char *)value.data, 1, &match, REG_STARTEND) != 0)
            return false;
        *start = (size_t)match.rm_so;
        *end = (size_t)match.rm_eo;
        if (*end > *start)
            return true;
        from = *start;
    }
    return false;
}

bool colsep_next(const struct colsep *colsep, struct bytes value, size_t *at, struct bytes *column)
{
    size_t from = *at, start, end;
    if (from > value.size)
        return false;
    bool found = from < value.size && colsep_find(colsep, value, from, &start, &end);
    *column = (struct bytes){value.data + from, (found ? start : value.size) - from};
    *at = found ? end : value.size + 1;
    return true;
}
