/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/core/start_limit.h"

#include "common/base/clock.h"

#define MORE_NS NS_PER_S          /* one more is tried */
#define AGAIN_NS (50 * NS_PER_MS) /* when nothing runs: until the next try, doubled each time */
#define TELL_NS (20 * NS_PER_MS)  /* many are tried at once: then it is known how many can be */
#define NEVER_WILL_NS (10 * NS_PER_S)
enum { DOUBLINGS_MAX = 4 };

void start_limit_init(struct start_limit *l, unsigned slots)
{
    *l = (struct start_limit){
        .slots = slots, .most = slots, .more_ns = NEVER, .stuck_ns = NEVER, .say_ns = NEVER};
}

/* Said again only when it has become far fewer. */
static bool is_news(struct start_limit *l, struct why *line)
{
    l->say_ns = NEVER;
    if (l->said && l->most > l->said / 2)
        return false;
    l->said = l->most;
    fail(line, ERR_NONE, "runs %u task%s at a time and not %u: %s", l->most,
         l->most == 1 ? "" : "s", l->slots, l->why.text);
    return true;
}

bool start_limit_turn(struct start_limit *l, uint64_t now_ns, struct why *line)
{
    if (now_ns >= l->start_ns)
        l->start_ns = 0;
    bool says = now_ns >= l->say_ns && is_news(l, line);
    if (now_ns >= l->more_ns) {
        l->most++;
        l->more_ns = l->most < l->slots ? now_ns + MORE_NS : NEVER;
    }
    return says;
}

bool start_limit_allows(const struct start_limit *l, unsigned busy)
{
    return busy < l->most && !l->start_ns;
}

unsigned start_limit_unusable(const struct start_limit *l, unsigned busy)
{
    unsigned most = l->start_ns ? 0 : l->most;
    return l->slots - (most > busy ? most : busy);
}

void start_limit_ended(struct start_limit *l)
{
    l->stuck_ns = NEVER;
    l->delays = 0;
}

bool start_limit_failed(struct start_limit *l, unsigned busy, const char *why, uint64_t now_ns)
{
    l->most = busy ? busy : 1;
    l->more_ns = l->most < l->slots ? now_ns + MORE_NS : NEVER;
    fail(&l->why, ERR_NONE, "%s", why);
    if (l->say_ns == NEVER)
        l->say_ns = now_ns + TELL_NS;
    if (busy)
        return true;
    if (l->stuck_ns == NEVER)
        l->stuck_ns = now_ns;
    if (now_ns >= l->stuck_ns + NEVER_WILL_NS)
        return false;
    l->start_ns = now_ns + (AGAIN_NS << l->delays);
    l->delays += l->delays < DOUBLINGS_MAX;
    return true;
}

uint64_t start_limit_deadline(const struct start_limit *l)
{
    uint64_t deadline = clock_earlier(l->more_ns, l->say_ns);
    return l->start_ns ? clock_earlier(deadline, l->start_ns) : deadline;
}
