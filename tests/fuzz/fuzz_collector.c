/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "sink/core/collector.h"
#include "tests/fuzz/steps.h"

/* The sink's core under any sequence of events: connections that come and go, frames of any
 * content, time that passes, an output that takes more or nothing.
 *
 * The input is a list of steps: an octet for what happens, and for a frame its size (two octets)
 * and its content. So that the fuzzer need not guess random numbers, the job is 0x0101010101010101.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define JOB UINT64_C(0x0101010101010101)

struct run {
    struct collector *c;
    struct steps steps;
    uint64_t now_ns;
    uint64_t put;
    uint64_t finals;
    bool gone;
};

static void accept_result(void *context, const struct result *result)
{
    struct run *run = context;
    assert(!run->gone);
    run->put += 1 + result->out.size;
    run->finals += result->final;
}

static void act(struct run *run)
{
    struct collector_action action;
    while (collector_next_action(run->c, &action)) {
        assert(!run->gone);
        block_release(&action.block);
        run->gone = action.kind == COLLECTOR_EXIT;
    }
}

static void turn(struct run *run, uint64_t written)
{
    collector_mark(run->c, run->put);
    collector_reached(run->c, written);
    collector_turn(run->c, run->now_ns);
    act(run);
    assert(run->gone || collector_deadline(run->c) > run->now_ns);
    const struct job_counts *counts = collector_counts(run->c);
    uint64_t counted = counts->ok + counts->failed + counts->lost;
    assert(counted <= run->finals); /* one behind the end of the input has ceased to count */
    assert(run->finals <= counted + counts->strange);
    assert(collector_stored(run->c)->members <= run->finals);
    if (written == run->put)
        assert(collector_stored(run->c)->members == run->finals);
}

static void step(struct run *run)
{
    struct collector *c = run->c;
    struct why why;
    switch (next_octet(&run->steps) % 12) {
    case 0:
        collector_control_up(c, run->now_ns);
        break;
    case 1:
        collector_control_down(c, run->now_ns);
        break;
    case 2:
    case 3:
        collector_control_message(c, next_frame(&run->steps), run->now_ns);
        break;
    case 4:
    case 5:
        collector_results_message(c, next_frame(&run->steps), run->now_ns);
        break;
    case 6:
        run->now_ns += next_octet(&run->steps) * 100 * NS_PER_MS;
        break;
    case 7:
        collector_set_order_full(c, next_octet(&run->steps) & 1);
        collector_set_output(c, (enum collector_output)(next_octet(&run->steps) % 3), 0,
                             run->now_ns);
        break;
    case 8:
        collector_flushed(c, run->now_ns);
        break;
    case 9:
        collector_stop(c, run->now_ns);
        break;
    case 10:
        turn(run, run->put);
        break;
    default:
        turn(run, 0);
        collector_waits_for(c, run->now_ns, &why);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run run = {.steps = {data, data + size}, .now_ns = NS_PER_S};
    struct collector_options options = {.job = JOB,
                                        .results = "tcp://:5558",
                                        .is_volatile = size & 1,
                                        .window_max_bytes = 1000,
                                        .give_up_ns = 60 * NS_PER_S,
                                        .random_seed = 1,
                                        .context = &run,
                                        .accept = accept_result};
    run.c = collector_new(&options, run.now_ns);
    while (run.steps.at < run.steps.end)
        step(&run);
    turn(&run, run.put);
    collector_destroy(&run.c);
    return 0;
}
