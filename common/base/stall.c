/* SPDX-License-Identifier: MPL-2.0 */
#include "common/base/stall.h"

uint64_t stall_deadline(const struct stall *stall, uint64_t moved_at_ns)
{
    if (stall->said_at_ns && stall->moved_at_ns == moved_at_ns)
        return stall->said_at_ns + STALL_AGAIN_NS;
    return moved_at_ns + STALL_FIRST_NS;
}

bool stall_due(struct stall *stall, uint64_t moved_at_ns, uint64_t now_ns)
{
    if (now_ns < stall_deadline(stall, moved_at_ns))
        return false;
    *stall = (struct stall){moved_at_ns, now_ns};
    return true;
}
