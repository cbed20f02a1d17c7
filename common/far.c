/* SPDX-License-Identifier: MPL-2.0 */
#include "common/far.h"

#include "common/log.h"

enum error far_check(const char *text, enum endpoint_use use, bool insecure, struct why *why)
{
    struct endpoint endpoint;
    enum error error = endpoint_parse(text, use, &endpoint, why);
    if (error || endpoint_is_loopback(&endpoint))
        return error;
    if (!insecure)
        return fail(why, ERR_ACCESS,
                    "%s is not on this machine alone, and what goes there is neither encrypted nor "
                    "authenticated; use 127.0.0.1, or say --insecure if the network is yours",
                    text);
    log_line("--insecure: whoever is on the network of %s can read and change this job", text);
    return ERR_NONE;
}
