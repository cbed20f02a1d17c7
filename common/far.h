/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_FAR_H
#define ZFARM_FAR_H

#include <stdbool.h>

#include "common/endpoint.h"

/* Whether an endpoint may be used without keys: one of this machine always, another only with
 * --insecure, which is said on stderr each time. ERR_INVALID: it is no endpoint; ERR_ACCESS: it is
 * far. `why` says what to do. */
enum error far_check(const char *text, enum endpoint_use use, bool insecure, struct why *why);
/* The same for an endpoint that a peer told, without saying anything when it is allowed. */
enum error far_allowed(const char *text, bool insecure, struct why *why);

#endif
