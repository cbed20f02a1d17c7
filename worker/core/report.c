/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/core/report.h"

#include "common/base/clock.h"

#define BUSY_NS (20 * NS_PER_MS) /* a busy worker reports fifty times a second */
/* And one that idles when its results are well on their way: the ventilator must not be in their way. */
#define IDLE_NS (200 * NS_PER_US)

void report_free(struct report *r)
{
    seqset_free(&r->finished);
    seqset_free(&r->returned);
    seqset_free(&r->interrupted);
    attempt_list_free(&r->failed);
}

void report_joined(struct report *r)
{
    seqset_clear(&r->finished);
    seqset_clear(&r->returned);
    seqset_clear(&r->interrupted);
    r->not_ok = 0;
}

void report_clear(struct report *r)
{
    report_joined(r);
    r->failed.count = 0;
}

static void forget_failed(struct attempt_list *failed, const struct seqset *tasks)
{
    size_t left = 0;
    for (size_t i = 0; i < failed->count; i++)
        if (!seqset_has(tasks, failed->items[i].seq))
            failed->items[left++] = failed->items[i];
    failed->count = left;
}

void report_forget(struct report *r, const struct seqset *tasks)
{
    for (size_t i = 0; i < tasks->count; i++)
        seqset_remove(&r->finished, tasks->ranges[i].first, tasks->ranges[i].last);
    if (r->not_ok > r->finished.members)
        r->not_ok = r->finished.members;
    forget_failed(&r->failed, tasks);
}

void report_busy(struct report *r, bool is_busy, uint64_t now_ns)
{
    if (is_busy)
        r->idle_ns = NEVER;
    else if (r->idle_ns == NEVER)
        r->idle_ns = now_ns;
}

static bool gives_back(const struct report *r)
{
    return !seqset_empty(&r->returned) || !seqset_empty(&r->interrupted);
}

bool report_empty(const struct report *r)
{
    return seqset_empty(&r->finished) && r->failed.count == 0 && !gives_back(r);
}

uint64_t report_due_ns(const struct report *r)
{
    bool may_wait = r->idle_ns != NEVER && r->failed.count == 0 && !gives_back(r);
    return clock_earlier(r->sent_ns + BUSY_NS, may_wait ? r->idle_ns + IDLE_NS : r->idle_ns);
}
