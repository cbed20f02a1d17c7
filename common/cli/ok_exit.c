/* SPDX-License-Identifier: MPL-2.0 */
#include "common/cli/ok_exit.h"

#include <ctype.h>

/* A number below 256; moves `*text` behind it. */
static bool ok_exit_take_status(const char **text, unsigned *status)
{
    const char *start = *text;
    for (*status = 0; isdigit((unsigned char)**text) && *status < 256; ++*text)
        *status = *status * 10 + (unsigned)(**text - '0');
    return *text > start && *status < 256;
}

enum error ok_exit_parse(const char *text, void *target, struct why *why)
{
    struct ok_exit ok = {.given = true};
    const char *at = text;
    bool fine;
    do {
        unsigned first, last;
        fine = ok_exit_take_status(&at, &first);
        last = first;
        if (fine && *at == '-') {
            at++;
            fine = ok_exit_take_status(&at, &last) && first <= last;
        }
        for (unsigned status = first; fine && status <= last; status++)
            ok.statuses[status / 64] |= UINT64_C(1) << status % 64;
    } while (fine && *at == ',' && *++at);
    if (!fine || *at || at[-1] == ',')
        return fail(why, ERR_INVALID,
                    "'%.200s' is not one of its values: it takes all exit statuses, from 0 to 255, "
                    "that are ok: 0,1 or 0,3-5",
                    text);
    *(struct ok_exit *)target = ok;
    return ERR_NONE;
}

bool ok_exit_has(const struct ok_exit *ok, unsigned status)
{
    return ok->given ? ok->statuses[status / 64] >> status % 64 & 1 : status == 0;
}
