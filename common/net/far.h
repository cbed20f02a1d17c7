/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_FAR_H
#define ZFARM_FAR_H

#include <stdbool.h>

#include "common/base/endpoint.h"

/* Whether what goes to an endpoint is safe from others on the way. */
struct far_means {
    bool keys;     /* everything is encrypted, and both ends know each other */
    bool insecure; /* nothing is, and that is wanted */
};

/* --keys and --insecure exclude each other: ERR_INVALID if both are given. */
enum error far_take(struct far_means *means, const char *keys, bool insecure, struct why *why);
/* Whether an endpoint may be used: with keys always; without, one of this machine always, another only with
 * --insecure, which is said on stderr each time. ERR_INVALID: it is no endpoint; ERR_ACCESS: it is
 * far. `why` says what to do. */
enum error far_check(const char *text, enum endpoint_use use, struct far_means means,
                     struct why *why);
/* The same for an endpoint that a peer told, without saying anything when it is allowed. */
enum error far_allowed(const char *text, struct far_means means, struct why *why);

#endif
