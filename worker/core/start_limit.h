/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_START_LIMIT_H
#define ZFARM_START_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"

/* How many tasks can be started here at a time, as far as is known. A start that fails for a reason that passes (no
 * more descriptors, processes, memory) is no task's fault, and no end of the worker: as many tasks as run then are as
 * many as can, until one more is tried. Only when nothing runs here at all, and for long, will nothing ever.
 * It owns that number and decides when one more is tried and when the user is told. The core tells it of failed starts
 * and ends. It calls nothing. Embed it by value. */
struct start_limit {
    unsigned slots;
    unsigned most;     /* slots that may be busy */
    uint64_t start_ns; /* nothing is started before; 0: it may be now */
    uint64_t more_ns;  /* when one more is tried; NEVER: all slots may be busy */
    uint64_t stuck_ns; /* since when nothing at all could be started; NEVER: something could */
    unsigned delays;   /* how often that was tried */
    unsigned said;     /* how many users were told of; 0: none */
    uint64_t say_ns;   /* when they are told next; NEVER */
    struct why why;
};

void start_limit_init(struct start_limit *l, unsigned slots);
bool start_limit_allows(const struct start_limit *l, unsigned busy);
/* How many slots are free, beside `busy` that are not, and can begin nothing. */
unsigned start_limit_unusable(const struct start_limit *l, unsigned busy);
/* A task that could be started has ended. */
void start_limit_ended(struct start_limit *l);
/* One could not be started, beside `busy` that run. False: none could for so long that none ever will. */
bool start_limit_failed(struct start_limit *l, unsigned busy, const char *why, uint64_t now_ns);
/* True: `line` is to be said. */
bool start_limit_turn(struct start_limit *l, uint64_t now_ns, struct why *line);
uint64_t start_limit_deadline(const struct start_limit *l);

#endif
