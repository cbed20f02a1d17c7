/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_CREDIT_H
#define ZFARM_CREDIT_H

#include "common/wire/wire.h"

/* How much a worker asks for: nobody sets a number, it is measured.
 *
 * At first one task for each slot. Then ahead of that what the slots get through in one round trip
 * and a tenth of a second, by the longest service time lately seen: thousands of tasks that take
 * microseconds, none that take a second, so that little waits here that an idle worker could run
 * (and that is recalled). Among short tasks a long one now and then must not leave slots idle: so
 * at least what they get through in two round trips, by the mean. Times are in ns; zero-initialised
 * is "nothing measured yet"; embed it by value. */
enum { CREDIT_TASKS_MAX = 16384, CREDIT_BYTES_MAX = 8 << 20 };

struct meter {
    uint64_t longest_ns[2]; /* service time: of this window, of the one before */
    uint64_t window_at_ns;
    unsigned measured;         /* assignments in this window */
    uint64_t mean_ns;          /* per task as the core sees it, with all that an assignment costs */
    uint32_t size;             /* of the last assignments: it grows at most twofold */
    uint64_t round_trip_ns[2]; /* shortest: of this window, of the one before; 0: none */
    uint64_t round_trip_at_ns;
};

void meter_round_trip(struct meter *m, uint64_t round_trip_ns, uint64_t now_ns);
/* An assignment has ended, of which `count` tasks finished: `service_ns` is how long these took
 * together, `whole_ns` the time from the start to now. */
void meter_assignment(struct meter *m, unsigned slots, uint64_t count, uint64_t service_ns,
                      uint64_t whole_ns, uint64_t now_ns);
/* How many tasks should wait here, besides those that run. */
uint64_t meter_ahead(const struct meter *m, unsigned slots);
/* How many tasks the next assignment should have: about a millisecond of work, but so that all
 * slots get a share of the `unstarted` ones. */
uint32_t meter_share(struct meter *m, uint64_t unstarted, unsigned slots, uint32_t batch_max);

/* What is here, and what the worker may ask for. */
struct holding {
    unsigned slots;
    unsigned busy;
    uint64_t unstarted;
    uint64_t held_bytes;     /* records of what is unstarted or running */
    uint64_t received;       /* tasks of this session */
    uint64_t received_bytes; /* their records */
    bool ordinary;           /* new tasks are welcome */
    bool reserve;            /* tasks that were handed out before are welcome */
};

/* Running totals never shrink: `sent` is what the ventilator was told last. */
struct credit credit_of(const struct meter *m, const struct holding *h, const struct credit *sent);
/* Whether to send `wanted`: a slot idles, or less than a third is left of what should be here and
 * on its way. Each such message wakes four threads, which costs as much as a short task:
 * `in_passing`, together with another one, it is sent sooner. */
bool credit_is_due(const struct credit *sent, const struct credit *wanted, const struct holding *h,
                   bool in_passing);

#endif
