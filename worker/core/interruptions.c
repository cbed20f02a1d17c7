/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/core/interruptions.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/xalloc.h"
#include "worker/core/large.h"

#define WAIT_NS (250 * NS_PER_MS)
#define DEAF_NS                                                                                    \
    (50 * NS_PER_MS) /* a process that is late by this may not have heard of the signal either */
enum { EXTENSIONS_MAX = 4, SHELL_SIGNALED = 128 };

void interruptions_init(struct interruptions *i, unsigned slots)
{
    *i = (struct interruptions){.slots = xcalloc(slots, sizeof *i->slots), .slot_count = slots};
}

void interruptions_free(struct interruptions *i)
{
    for (unsigned slot = 0; slot < i->slot_count; slot++) {
        if (i->slots[slot].seq)
            outcome_discard(&i->slots[slot].outcome);
        buf_free(&i->slots[slot].bytes);
    }
    free(i->slots);
}

/* The signals by which the owner of the machine takes it back. A SIGSEGV is always the task's. */
static bool takes_back(unsigned number)
{
    return number == SIGTERM || number == SIGINT || number == SIGHUP || number == SIGXCPU ||
           number == SIGKILL;
}

bool interruptions_may_be(const struct outcome *o)
{
    if (!o->own_end)
        return false;
    return o->status == RESULT_SIGNALED ? takes_back(o->code)
                                        : o->status == RESULT_EXITED && o->code > SHELL_SIGNALED &&
                                              takes_back(o->code - SHELL_SIGNALED);
}

static void interruption_copy(struct interruption *at, const struct outcome *o)
{
    at->outcome = *o;
    struct bytes *slices[] = {&at->outcome.out.bytes, &at->outcome.err.bytes, &at->outcome.command};
    for (size_t i = 0; i < 3; i++)
        buf_put_bytes(&at->bytes, *slices[i]);
    const uint8_t *data = at->bytes.data;
    for (size_t i = 0; i < 3; data += slices[i++]->size)
        slices[i]->data = data;
}

bool interruptions_put(struct interruptions *i, const struct outcome *outcome, uint64_t now_ns)
{
    struct interruption *at = &i->slots[outcome->slot];
    if (at->seq)
        return false;
    interruption_copy(at, outcome);
    at->seq = outcome->seq;
    at->due_ns = now_ns + WAIT_NS;
    at->extended = 0;
    i->count++;
    return true;
}

bool interruptions_have(const struct interruptions *i, unsigned slot, uint64_t seq)
{
    return i->slots[slot].seq == seq;
}

void interruptions_put_off(struct interruptions *i, uint64_t late_ns, uint64_t now_ns)
{
    for (unsigned slot = 0; late_ns >= DEAF_NS && i->count && slot < i->slot_count; slot++) {
        struct interruption *at = &i->slots[slot];
        if (!at->seq || at->extended == EXTENSIONS_MAX)
            continue;
        at->due_ns = now_ns + WAIT_NS;
        at->extended++;
    }
}

const struct interruption *interruptions_at(const struct interruptions *i, unsigned slot)
{
    return i->slots[slot].seq ? &i->slots[slot] : NULL;
}

struct outcome interruptions_take(struct interruptions *i, unsigned slot, struct buf *bytes)
{
    struct interruption *at = &i->slots[slot];
    assert(at->seq && i->count);
    at->seq = 0;
    i->count--;
    *bytes = at->bytes;
    at->bytes = (struct buf){0};
    return at->outcome;
}

uint64_t interruptions_deadline(const struct interruptions *i)
{
    uint64_t deadline = NEVER;
    for (unsigned slot = 0; i->count && slot < i->slot_count; slot++)
        if (i->slots[slot].seq)
            deadline = clock_earlier(deadline, i->slots[slot].due_ns);
    return deadline;
}
