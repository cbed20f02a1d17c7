/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/core/slots_state.h"

/* A start that fails for a reason that passes (no more descriptors, processes, memory) is no task's fault,
 * and no end of the worker: as many tasks as run then are as many as can, until one more is tried. Only
 * when nothing runs here at all, and for long, will nothing ever. */

#define SHORT_MORE_NS NS_PER_S /* one more is tried */
#define SHORT_FIRST_NS                                                                             \
    (50 * NS_PER_MS) /* when nothing runs: until the next try, doubled each time */
#define SHORT_SAY_NS (20 * NS_PER_MS)
#define SHORT_PATIENCE_NS (10 * NS_PER_S)
enum { SHORT_DOUBLINGS = 4 };

void short_begin(struct slots *s)
{
    s->shortage = (struct shortage){
        .most = s->options.slots, .more_ns = NEVER, .stuck_ns = NEVER, .say_ns = NEVER};
}

/* When it is known how many can be: many are tried at once. Said again only when it has become far fewer. */
static void short_say(struct slots *s)
{
    struct shortage *h = &s->shortage;
    struct why line;
    h->say_ns = NEVER;
    if (h->said && h->most > h->said / 2)
        return;
    h->said = h->most;
    fail(&line, ERR_NONE, "runs %u task%s at a time and not %u: %s", h->most,
         h->most == 1 ? "" : "s", s->options.slots, h->why.text);
    actions_say(&s->actions, &line);
}

void short_turn(struct slots *s, uint64_t now_ns)
{
    struct shortage *h = &s->shortage;
    if (now_ns >= h->start_ns)
        h->start_ns = 0;
    if (now_ns >= h->say_ns)
        short_say(s);
    if (now_ns < h->more_ns)
        return;
    h->most++;
    h->more_ns = h->most < s->options.slots ? now_ns + SHORT_MORE_NS : NEVER;
}

bool short_may_start(const struct slots *s)
{
    return s->running.busy < s->shortage.most && !s->shortage.start_ns;
}

void short_note_end(struct slots *s)
{
    s->shortage.stuck_ns = NEVER;
    s->shortage.delays = 0;
}

void slots_held_up(struct slots *s, const char *why, uint64_t now_ns)
{
    struct shortage *h = &s->shortage;
    unsigned busy = s->running.busy;
    if (s->gone)
        return;
    h->most = busy ? busy : 1;
    h->more_ns = h->most < s->options.slots ? now_ns + SHORT_MORE_NS : NEVER;
    fail(&h->why, ERR_NONE, "%s", why);
    if (h->say_ns == NEVER)
        h->say_ns = now_ns + SHORT_SAY_NS;
    if (busy)
        return;
    if (h->stuck_ns == NEVER)
        h->stuck_ns = now_ns;
    if (now_ns >= h->stuck_ns + SHORT_PATIENCE_NS) {
        slots_broken(s, why, now_ns);
        return;
    }
    h->start_ns = now_ns + (SHORT_FIRST_NS << h->delays);
    h->delays += h->delays < SHORT_DOUBLINGS;
}

uint64_t short_deadline(const struct slots *s)
{
    const struct shortage *h = &s->shortage;
    uint64_t deadline = h->more_ns < h->say_ns ? h->more_ns : h->say_ns;
    return h->start_ns && h->start_ns < deadline ? h->start_ns : deadline;
}
