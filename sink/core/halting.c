/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/core/halting.h"

/* As $? has it; what was ended by us, or by the death of a worker, has the 255 of GNU parallel. */
static unsigned shell_status(const struct result *r)
{
    if (r->status == RESULT_OK)
        return 0;
    if (r->status == RESULT_EXITED)
        return r->code;
    return r->status == RESULT_SIGNALED ? 128 + r->code : 255;
}

static int percentage(uint64_t bad, uint64_t all)
{
    return all ? (int)(((double)bad * 100 + (double)all - 1) / (double)all) : 0;
}

static int number(uint64_t bad)
{
    return bad > 100 ? 101 : (int)bad;
}

static int status_when_fired(const struct halting *h, uint64_t total)
{
    const struct halt_rule *rule = &h->rule;
    bool is_one = rule->percent ? rule->count * total == 100 : rule->count == 1;
    if (rule->why == HALT_SUCCESS)
        return 0;
    if (is_one)
        return (int)h->last_status;
    return rule->percent ? percentage(h->failed, total) : number(h->failed);
}

static void halting_decide(struct halting *h, uint64_t total)
{
    const struct halt_rule *rule = &h->rule;
    uint64_t count =
        (rule->why != HALT_SUCCESS ? h->failed : 0) + (rule->why != HALT_FAIL ? h->ok : 0);
    bool enough = rule->percent
                      ? total && (double)count * 100 >= (double)total * (double)rule->count
                      : count >= rule->count;
    if (rule->when == HALT_NEVER || h->fired.when != HALT_NEVER || count == 0 || !enough)
        return;
    h->fired = (struct halt){
        .when = rule->when, .seq = h->last_seq, .status = (uint64_t)status_when_fired(h, total)};
}

void halting_result(struct halting *h, const struct result *r, uint64_t total)
{
    bool is_ok = r->status == RESULT_OK;
    h->ok += is_ok;
    h->failed += !is_ok;
    if (h->rule.why == (is_ok ? HALT_FAIL : HALT_SUCCESS))
        return;
    h->last_seq = r->seq;
    h->last_status = shell_status(r) & 255;
    halting_decide(h, total);
}

void halting_total(struct halting *h, uint64_t total)
{
    if (h->rule.percent)
        halting_decide(h, total);
}

int halting_status(const struct halting *h, uint64_t ok, uint64_t bad)
{
    bool percent = h->rule.when != HALT_NEVER && h->rule.percent;
    return percent ? percentage(bad, ok + bad) : number(bad);
}
