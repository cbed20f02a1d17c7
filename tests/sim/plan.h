/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SIM_PLAN_H
#define ZFARM_SIM_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/clock.h"
#include "common/wire/halt_rule.h"

/* What a seed decides before anything runs: the input, the options, the network's manners, how much
 * goes wrong and until when. */
enum {
    PLAN_TIMES_ALWAYS = 1000000,
    PLAN_BATCH_OF_PLUGINS = 4096,
    PLAN_BYTE_NS = 8 /* a gigabit a second */
};

enum nature {
    NATURE_GOOD,
    NATURE_BAD,      /* fails each time */
    NATURE_FLAKY,    /* fails `times` times, then is good */
    NATURE_POISON,   /* kills its worker `times` times, then is good */
    NATURE_CRASHER,  /* kills its slot: fails each time, and what was behind it in the batch returns
                      */
    NATURE_TOO_LARGE /* the source does not let it in */
};

struct plan_task {
    enum nature nature;
    unsigned times;
    uint64_t duration_ns;
    size_t size;         /* of its argument, at least 8 */
    size_t out_size;     /* of what it writes, at least 8 */
    bool out_in_file;    /* and the executor hands that over in a file */
    uint64_t lingers_ns; /* its output is held for so long when its first process has ended */
    bool cut;            /* and then cut, since that is --linger */
    uint64_t comes_ns;   /* when the source has it, from the start of the run */
};

struct plan_worker {
    unsigned slots;
    unsigned slowness; /* a task takes so many times its duration there */
    uint64_t starts_ns;
};

struct plan {
    struct plan_task *tasks;
    size_t task_count;
    size_t largest;    /* size of a task */
    uint64_t work_ns;  /* what all tasks take, together */
    uint64_t bytes;    /* of all tasks and outputs, and some more for each message */
    uint64_t grace_ns; /* the workers' --grace; 0: none */
    unsigned retries;
    uint64_t retry_delay_ns; /* 0: none */
    bool hedge;
    size_t task_inline_max; /* larger records travel in pieces of task_piece_max; 0: as in life */
    size_t task_piece_max;
    uint64_t queue_max_bytes;
    uint64_t kept_max_bytes;
    uint64_t window_max_bytes;
    uint32_t batch_max;
    struct plan_worker *workers;
    unsigned worker_count;
    uint64_t ventilator_starts_ns;
    uint64_t sink_starts_ns;
    uint64_t delay_min_ns; /* of a message */
    uint64_t delay_max_ns;
    uint64_t byte_ns;       /* so long a byte takes */
    uint64_t input_ends_ns; /* when the source knows that this was all */
    uint64_t output_a_turn; /* bytes the sink can write in one go; 0: all */
    unsigned output_pauses; /* percent of its turns in which it can write nothing for a while */
    uint64_t order_max;     /* -k: results that may wait for an earlier one; 0: no order */
    bool has_store;         /* sink and ventilator may be killed, and go on */
    unsigned server_faults; /* percent of the faults, with a store, that kill sink or ventilator */
    bool mixed_inbox;       /* workers see news of different connections in order of arrival */
    bool one_stall;         /* the only fault is a stall, of the first worker */
    uint64_t deaf_from_ns;  /* the output takes nothing then, and all else is well */
    uint64_t deaf_until_ns;
    unsigned faults;
    uint64_t faults_until_ns;
    struct halt_rule halt; /* --halt */
    uint64_t stops_ns;     /* when somebody interrupts the job; 0: never */
    bool stop_at_sink;
    bool supervised; /* `zfarm run` is around ventilator, first worker and sink (supervision.h) */
    uint64_t insists_ns; /* and is interrupted once more; 0: it is not */
};

void plan_make(struct plan *plan, uint64_t seed);

/* A farm in which nothing goes wrong, with tasks that are all alike: what is measured is how
 * well it works. */
struct plan_peace {
    size_t tasks;
    uint64_t duration_ns;
    unsigned workers;         /* of one slot each */
    const unsigned *slowness; /* of each; NULL: all are equal */
};
#define PLAN_PEACE_COMES_NS (2 * NS_PER_S) /* the input: all workers are there before */
void plan_make_peace(struct plan *plan, const struct plan_peace *peace);
void plan_free(struct plan *plan);

#endif
