/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_OK_EXIT_H
#define ZFARM_OK_EXIT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"

/* --ok-exit LIST: the exit statuses of a COMMAND that is ok. Zero-initialised it is 0 alone. */
struct ok_exit {
    bool given;
    uint64_t statuses[4]; /* a bit each */
};

/* Fills `ok`, a struct ok_exit, from a list such as 0,1 or 0,3-5, which is all of them: 0 is ok only if
 * it is there. ERR_INVALID and a whole sentence. For OPTION_PARSED. */
enum error ok_exit_parse(const char *text, void *ok, struct why *why);

/* `status` is below 256. */
bool ok_exit_has(const struct ok_exit *ok, unsigned status);

#endif
