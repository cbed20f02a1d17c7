/* SPDX-License-Identifier: MPL-2.0 */
#include "common/base/patience.h"

enum { TIMES_LATENESS = 4 };

static uint64_t at_most(uint64_t time_ns, uint64_t limit_ns)
{
    return time_ns < PATIENCE_MOST * limit_ns ? time_ns : PATIENCE_MOST * limit_ns;
}

void patience_late(struct patience *p, uint64_t late_ns, uint64_t own_ns)
{
    if (late_ns > own_ns && late_ns - own_ns > p->late_ns)
        p->late_ns = late_ns - own_ns;
}

void patience_fade(struct patience *p)
{
    p->late_ns -= p->late_ns / 8;
}

uint64_t patience_limit(const struct patience *p, uint64_t limit_ns)
{
    return at_most(limit_ns + TIMES_LATENESS * p->late_ns, limit_ns);
}

uint64_t patience_attempt(const struct patience *p, uint64_t limit_ns)
{
    uint64_t twice_ns = at_most(2 * p->attempt_ns, limit_ns),
             usual_ns = patience_limit(p, limit_ns);
    return twice_ns > usual_ns ? twice_ns : usual_ns;
}

void patience_in_vain(struct patience *p, uint64_t limit_ns)
{
    p->attempt_ns = patience_attempt(p, limit_ns);
}

void patience_answered(struct patience *p)
{
    p->attempt_ns = 0;
}

void patience_moved(uint64_t *limit_ns, uint64_t took_ns)
{
    *limit_ns -= *limit_ns / 8;
    if (*limit_ns < 2 * took_ns)
        *limit_ns = 2 * took_ns;
}
