/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/core/halt_pause.h"

bool halt_pause_at_one(const struct halt_pause *h)
{
    return h->rule.when != HALT_NEVER && h->rule.count == 1;
}

void halt_pause_result(struct halt_pause *h, const struct result *r)
{
    bool is_ok = r->status == RESULT_OK;
    if (!halt_pause_at_one(h) || h->seq || !r->final ||
        h->rule.why == (is_ok ? HALT_FAIL : HALT_SUCCESS))
        return;
    h->seq = r->seq;
    h->until_ns = NEVER;
}

bool halt_pause_is_on(const struct halt_pause *h)
{
    return h->seq != 0;
}

void halt_pause_turn(struct halt_pause *h, bool is_kept, uint64_t heartbeat_ns, uint64_t now_ns)
{
    if (h->seq && h->until_ns == NEVER && !is_kept)
        h->until_ns = now_ns + heartbeat_ns;
    if (h->seq && now_ns >= h->until_ns)
        h->seq = 0;
}

uint64_t halt_pause_deadline(const struct halt_pause *h)
{
    return h->seq ? h->until_ns : NEVER;
}
