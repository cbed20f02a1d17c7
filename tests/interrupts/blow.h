/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_INTERRUPTS_BLOW_H
#define ZFARM_INTERRUPTS_BLOW_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What one run suffers, and when. */

enum victim { VICTIM_FARM, VICTIM_VENTILATOR, VICTIM_WORKER, VICTIM_SINK };

struct blow {
    enum victim victim;
    int signal;
    int second; /* another one to the farm, 10 to 100 ms later; 0: none */
    const char
        *state; /* at its mark ("state: running"), and `after_us` later; NULL: since the start */
    uint64_t after_us;
    uint64_t second_us; /* after the first one */
};

/* The blow of `seed`, for a farm that takes `whole_us` from start to end when nobody disturbs it. */
struct blow blow_plan(uint64_t seed, uint64_t whole_us);
/* "TERM to the farm, 3.2 ms after \"state: running\"" */
void blow_describe(const struct blow *blow, char text[static 200]);
/* Whom it strikes: `farm` itself, or its child of that role; 0: there is none now. */
pid_t blow_target(const struct blow *blow, pid_t farm);

#endif
