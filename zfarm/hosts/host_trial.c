/* SPDX-License-Identifier: MPL-2.0 */
#include "zfarm/hosts/host_trial.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/base/stall.h"

#define RETRY_FIRST_NS NS_PER_S
#define RETRY_MAX_NS (60 * NS_PER_S)

enum { TRIES_BARRED = 2, TRIES_PER_GIVE_UP = 4 };

void host_trial_begin(struct host_trial *t, uint64_t now_ns)
{
    *t = (struct host_trial){.missing_ns = now_ns};
}

void host_trial_started(struct host_trial *t)
{
    t->runs = true;
    t->reached = false;
}

void host_trial_reached(struct host_trial *t)
{
    t->reached = true;
    t->barred = 0;
}

void host_trial_ready(struct host_trial *t)
{
    t->missing_ns = NEVER;
    t->delay_ns = 0;
    t->barred = 0;
    t->refused = false;
    t->why.text[0] = '\0';
}

/* Before it is given up there are tries enough, however long the last delay was. */
static uint64_t next_delay(const struct host_trial *t, uint64_t give_up_ns, uint64_t now_ns)
{
    uint64_t delay_ns = t->delay_ns ? t->delay_ns * 2 : RETRY_FIRST_NS;
    uint64_t max_ns = RETRY_MAX_NS;
    if (now_ns < t->missing_ns + give_up_ns && give_up_ns / TRIES_PER_GIVE_UP < max_ns)
        max_ns = give_up_ns / TRIES_PER_GIVE_UP;
    if (max_ns < RETRY_FIRST_NS)
        max_ns = RETRY_FIRST_NS;
    return delay_ns < max_ns ? delay_ns : max_ns;
}

uint64_t host_trial_failed(struct host_trial *t, enum host_runner_status status, const char *why,
                           uint64_t give_up_ns, uint64_t now_ns)
{
    if (t->missing_ns == NEVER)
        t->missing_ns = now_ns;
    t->runs = t->reached = false;
    t->refused = status == HOST_REFUSED;
    t->barred = status == HOST_BARRED ? t->barred + 1 : 0;
    if (strcmp(t->why.text, why) != 0) {
        fail(&t->why, ERR_CLOSED, "%s", why);
        t->said_ns = 0;
        t->unsaid = 0;
    }
    t->delay_ns = next_delay(t, give_up_ns, now_ns);
    return t->delay_ns;
}

bool host_trial_says(struct host_trial *t, uint64_t now_ns)
{
    if (!t->why.text[0])
        return false;
    if (t->said_ns && now_ns < t->said_ns + STALL_AGAIN_NS) {
        t->unsaid++;
        return false;
    }
    t->said_ns = now_ns;
    return true;
}

bool host_trial_is_lost(const struct host_trial *t, uint64_t give_up_ns, uint64_t now_ns)
{
    if (t->refused || t->barred >= TRIES_BARRED)
        return true;
    return now_ns >= host_trial_deadline(t, give_up_ns);
}

uint64_t host_trial_deadline(const struct host_trial *t, uint64_t give_up_ns)
{
    bool may_come = t->runs && t->reached;
    return t->missing_ns == NEVER || may_come ? NEVER : t->missing_ns + give_up_ns;
}
