/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_TIMEOUT_H
#define ZFARM_TIMEOUT_H

#include <stdint.h>

#include "common/base/error.h"

/* --timeout SECS or N%. Zero-initialised is none. */
struct timeout {
    uint64_t ns;      /* so long; or, if it is 0, */
    uint64_t percent; /* so many percent of the median run time of the tasks that were ok */
};

/* Fills `timeout`, a struct timeout. ERR_INVALID and a whole sentence. For OPTION_PARSED. */
enum error timeout_parse(const char *text, void *timeout, struct why *why);

#endif
