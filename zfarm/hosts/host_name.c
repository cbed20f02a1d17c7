/* SPDX-License-Identifier: MPL-2.0 */
#include "zfarm/hosts/host_name.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/xalloc.h"

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

/* With several colons it can be nothing else; of [USER@]ADDRESS[%INTERFACE]. */
static bool host_name_is_ipv6(const char *text)
{
    struct in6_addr ignored;
    char address[INET6_ADDRSTRLEN];
    const char *at = strrchr(text, '@');
    const char *begin = at ? at + 1 : text;
    size_t size = strcspn(begin, "%");
    if (size >= sizeof address)
        return false;
    snprintf(address, sizeof address, "%.*s", (int)size, begin);
    return inet_pton(AF_INET6, address, &ignored) == 1;
}

static bool has_blank(const char *text)
{
    return text[strcspn(text, " \t")] != '\0';
}

/* Parses [USER@]HOST[:SLOTS]. */
static enum error parse_colon_form(struct host_name *name, const char *text, struct why *why)
{
    const char *colon = slots_colon(text), *end = colon ? colon : text + strlen(text);
    *name = (struct host_name){0};
    if (colon && colon[1] && (!is_number(colon + 1) || atol(colon + 1) < 1))
        return fail(
            why, ERR_INVALID,
            "%s is no host: behind the colon stands how many tasks it runs at a time, as in "
            "alpha:8",
            text);
    const char *bracket = strchr(text, '[');
    bool brackets = bracket && bracket < end && end[-1] == ']';
    int before = brackets ? (int)(bracket - text) : 0;
    const char *host = brackets ? bracket + 1 : text, *host_end = brackets ? end - 1 : end;
    bool odd = has_blank(text) || strchr(text, '/') ||
               (!brackets &&
                (strpbrk(text, "[]") || (!colon && strchr(text, ':') && !host_name_is_ipv6(text))));
    /* No host of ssh begins like an option of ssh. */
    if (odd || text[0] == '-' || host[0] == '-' || (host == host_end && (brackets || !colon)))
        return fail(why, ERR_INVALID, "\"%s\" is no host; give [USER@]HOST[:SLOTS]", text);
    if (colon && colon[1])
        name->slots = xstrdup(colon + 1);
    if (end > text) /* else it is this machine */
        name->target = xasprintf("%.*s%.*s", before, text, (int)(host_end - host), host);
    return ERR_NONE;
}

/* Parses SLOTS/HOST, as GNU parallel writes it. */
static enum error parse_slash_form(struct host_name *name, const char *text, const char *slash,
                                   struct why *why)
{
    char *slots = xstrndup(text, (size_t)(slash - text));
    enum error error = ERR_INVALID;
    if (!is_number(slots) || atol(slots) < 1)
        fail(why, error,
             "\"%s\" is no host: in front of the slash stands how many tasks it runs at a time, as "
             "in "
             "4/alpha",
             text);
    else
        error = parse_colon_form(name, slash + 1, why);
    if (!error && name->slots) {
        host_name_free(name);
        error = fail(why, ERR_INVALID,
                     "\"%s\" is no host: it has two numbers of tasks; leave one out", text);
    }
    if (error)
        free(slots);
    else
        name->slots = slots;
    return error;
}

enum error host_name_parse(struct host_name *name, const char *text, struct why *why)
{
    const char *slash = strchr(text, '/');
    *name = (struct host_name){0};
    if (strcmp(text, "..") == 0)
        return fail(
            why, ERR_INVALID,
            "\"..\" is no host: GNU parallel takes its own list of hosts for it, which zfarm "
            "does not read; give --hosts FILE");
    if (text[0] == '@')
        return fail(why, ERR_INVALID,
                    "\"%s\" is no host: there are no groups of hosts; name them one by one", text);
    return slash ? parse_slash_form(name, text, slash, why) : parse_colon_form(name, text, why);
}

void host_name_free(struct host_name *name)
{
    free(name->target);
    free(name->slots);
    *name = (struct host_name){0};
}
