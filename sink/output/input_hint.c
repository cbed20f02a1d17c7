/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/output/input_hint.h"

bool input_hint_due(struct input_hint *hint, const struct status *status, uint64_t failed,
                    struct why *why)
{
    bool crlf = status->flags & STATUS_INPUT_CRLF, bom = status->flags & STATUS_INPUT_BOM;
    if (hint->given || !failed || (!crlf && !bom))
        return false;
    hint->given = true;
    fail(why, ERR_NONE,
         "hint: the input %s%s%s, and the tasks get that as it is; dos2unix takes it away",
         bom ? "begins with a byte-order mark" : "", bom && crlf ? " and " : "",
         crlf ? "has lines that end with CR LF" : "");
    return true;
}
