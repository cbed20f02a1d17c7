/* SPDX-License-Identifier: MPL-2.0 */
#include "common/input/trim.h"

#include <string.h>

enum error trim_parse(const char *text, void *trim, struct why *why)
{
    static const struct {
        const char *word;
        enum trim trim;
    } words[] = {{"n", TRIM_NONE},
                 {"l", TRIM_LEFT},
                 {"r", TRIM_RIGHT},
                 {"lr", TRIM_BOTH},
                 {"rl", TRIM_BOTH}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(text, words[i].word) == 0) {
            *(enum trim *)trim = words[i].trim;
            return ERR_NONE;
        }
    return fail(why, ERR_INVALID,
                "'%.200s' is not one of its values: it takes n (nothing), l (left), r (right), lr "
                "or rl",
                text);
}

static bool trim_is_blank(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

struct bytes trim_take(struct bytes arg, enum trim trim)
{
    if (trim == TRIM_LEFT || trim == TRIM_BOTH)
        for (; arg.size && trim_is_blank(arg.data[0]); arg.size--)
            arg.data++;
    if (trim == TRIM_RIGHT || trim == TRIM_BOTH)
        while (arg.size && trim_is_blank(arg.data[arg.size - 1]))
            arg.size--;
    return arg;
}
