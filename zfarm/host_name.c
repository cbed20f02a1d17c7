/* SPDX-License-Identifier: MPL-2.0 */
#include "zfarm/host_name.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

static bool is_number(const char *text)
{
    return text[0] && text[strspn(text, "0123456789")] == '\0';
}

/* Where the colon before the slots is; NULL: there are none. */
static const char *slots_colon(const char *text)
{
    const char *bracket = strrchr(text, ']'), *colon = strrchr(text, ':');
    if (!colon || (bracket && colon < bracket))
        return NULL;
    return bracket || strchr(text, ':') == colon ? colon : NULL; /* more: an IPv6 address */
}

enum error host_name_parse(struct host_name *name, const char *text, struct why *why)
{
    const char *colon = slots_colon(text), *end = colon ? colon : text + strlen(text);
    *name = (struct host_name){0};
    if (colon && colon[1] && (!is_number(colon + 1) || atol(colon + 1) < 1))
        return fail(
            why, ERR_INVALID,
            "%s is no host: behind the colon stands how many tasks it runs at a time, as in "
            "alpha:8",
            text);
    if (text[0] == '-' || (end == text && !colon))
        return fail(why, ERR_INVALID, "\"%s\" is no host; give [USER@]HOST[:SLOTS]", text);
    if (colon && colon[1])
        name->slots = xstrdup(colon + 1);
    if (end == text)
        return ERR_NONE; /* this machine */
    const char *bracket = strchr(text, '[');
    name->target = bracket && end[-1] == ']' ? xasprintf("%.*s%.*s", (int)(bracket - text), text,
                                                         (int)(end - bracket) - 2, bracket + 1)
                                             : xasprintf("%.*s", (int)(end - text), text);
    return ERR_NONE;
}

void host_name_free(struct host_name *name)
{
    free(name->target);
    free(name->slots);
    *name = (struct host_name){0};
}
