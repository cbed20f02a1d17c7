/* SPDX-License-Identifier: MPL-2.0 */
#include "common/far.h"

#include "common/log.h"

static enum error check(const char *text, enum endpoint_use use, bool insecure, bool *far,
                        struct why *why)
{
    struct endpoint endpoint;
    enum error error = endpoint_parse(text, use, &endpoint, why);
    *far = !error && !endpoint_is_loopback(&endpoint);
    if (!*far || insecure)
        return error;
    return fail(why, ERR_ACCESS,
                "%s is not on this machine alone, and what goes there is neither encrypted nor "
                "authenticated; use 127.0.0.1, or say --insecure if the network is yours",
                text);
}

enum error far_check(const char *text, enum endpoint_use use, bool insecure, struct why *why)
{
    bool far;
    enum error error = check(text, use, insecure, &far, why);
    if (far && !error)
        log_line("--insecure: whoever is on the network of %s can read and change this job", text);
    return error;
}

enum error far_allowed(const char *text, bool insecure, struct why *why)
{
    bool far;
    return check(text, ENDPOINT_CONNECT, insecure, &far, why);
}
