/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_HALT_RULE_H
#define ZFARM_HALT_RULE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"

/* --halt WHEN,WHY, with the words of GNU parallel: when a job ends early. */
enum halt_when {
    HALT_NEVER,
    HALT_SOON, /* nothing more is begun, what runs may finish */
    HALT_NOW   /* what runs is killed, too */
};

enum halt_why { HALT_FAIL, HALT_SUCCESS, HALT_DONE };

/* Zero-initialised is never. */
struct halt_rule {
    enum halt_when when;
    enum halt_why why; /* what is counted */
    uint64_t count;    /* so many; or, if `percent`, so many of a hundred of all tasks */
    bool percent;
};

/* Fills `rule`, a struct halt_rule, from now,fail=1; soon,success=10%; never; and the short forms 10%
 * (soon,fail=10%), 1, 2, -1, -2 and 0. ERR_INVALID and a whole sentence. For OPTION_PARSED. */
enum error halt_rule_parse(const char *text, void *rule, struct why *why);

#endif
