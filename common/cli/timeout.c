/* SPDX-License-Identifier: MPL-2.0 */
#include "common/cli/timeout.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/cli/option_value.h"

enum { PERCENT_MAX = 1000000 };

static bool take_percent(const char *text, uint64_t *percent)
{
    char *end;
    *percent = isdigit((unsigned char)*text) ? strtoull(text, &end, 10) : 0;
    return *percent && *percent <= PERCENT_MAX && strcmp(end, "%") == 0;
}

enum error timeout_parse(const char *text, void *target, struct why *why)
{
    static const struct option_row seconds = {.kind = OPTION_SECONDS};
    struct timeout timeout = {0};
    if (!take_percent(text, &timeout.percent)) {
        timeout.percent = 0;
        if (option_value_store(&seconds, text, &timeout.ns, why))
            return fail(why, ERR_INVALID,
                        "'%.200s' is not one of its values: it takes seconds, with a fraction or a "
                        "unit (1.5, 90s, 10m, 1h30m), or percent of the median run time (200%%)",
                        text);
    }
    *(struct timeout *)target = timeout;
    return ERR_NONE;
}
