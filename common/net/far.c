/* SPDX-License-Identifier: MPL-2.0 */
#include "common/net/far.h"

#include "common/base/log.h"

enum error far_take(struct far_means *means, const char *keys, bool insecure, struct why *why)
{
    *means = (struct far_means){keys != NULL, insecure};
    if (keys && insecure)
        return fail(why, ERR_INVALID,
                    "--keys and --insecure exclude each other: with keys all is encrypted; leave "
                    "--insecure out");
    return ERR_NONE;
}

static enum error far_check_endpoint(const char *text, enum endpoint_use use,
                                     struct far_means means, bool *far, struct why *why)
{
    struct endpoint endpoint;
    enum error error = endpoint_parse(text, use, &endpoint, why);
    *far = !error && !means.keys && !endpoint_is_loopback(&endpoint);
    if (!*far || means.insecure)
        return error;
    return fail(why, ERR_ACCESS,
                "%s is not on this machine alone, and what goes there is neither encrypted nor "
                "authenticated; use 127.0.0.1, or --keys DIR (zfarm keys makes them), or say "
                "--insecure if the network is yours",
                text);
}

enum error far_check(const char *text, enum endpoint_use use, struct far_means means,
                     struct why *why)
{
    bool far;
    enum error error = far_check_endpoint(text, use, means, &far, why);
    if (far && !error)
        log_line("--insecure: whoever is on the network of %s can read and change this job", text);
    return error;
}

enum error far_allowed(const char *text, struct far_means means, struct why *why)
{
    bool far;
    return far_check_endpoint(text, ENDPOINT_CONNECT, means, &far, why);
}
