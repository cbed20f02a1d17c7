/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/sim/peace.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "tests/sim/sim.h"

enum { MACHINES_MAX = 4 };

/* The first task and the last word are under way for so long at most. */
#define MESSAGES_NS (3 * NS_PER_MS)

struct machines {
    const char *name;
    unsigned count;
    unsigned slowness[MACHINES_MAX];
};

static const struct machines farms[] = {
    {"1:1", 2, {1, 1}},
    {"1:10", 2, {1, 10}},
    {"10:1", 2, {10, 1}},
    {"1:2:5:10", 4, {1, 2, 5, 10}},
};

static const struct {
    uint64_t duration_ns;
    size_t tasks;
} works[] = {
    {1 * NS_PER_MS, 5000}, {1 * NS_PER_MS, 100}, {20 * NS_PER_MS, 1000},
    {20 * NS_PER_MS, 20},  {1 * NS_PER_S, 100},  {1 * NS_PER_S, 7},
};

/* Each task goes to the machine that would be through with it first: no schedule of equal tasks
 * ends sooner. */
static uint64_t ideal_ns(const struct machines *m, uint64_t duration_ns, size_t tasks)
{
    uint64_t ends_ns[MACHINES_MAX] = {0}, end_ns = 0;
    for (size_t i = 0; i < tasks; i++) {
        unsigned best = 0;
        for (unsigned at = 1; at < m->count; at++)
            if (ends_ns[at] + duration_ns * m->slowness[at] <
                ends_ns[best] + duration_ns * m->slowness[best])
                best = at;
        ends_ns[best] += duration_ns * m->slowness[best];
        end_ns = ends_ns[best] > end_ns ? ends_ns[best] : end_ns;
    }
    return end_ns;
}

static unsigned uneven(const struct machines *m, uint64_t duration_ns, size_t tasks)
{
    struct plan_peace peace = {
        .tasks = tasks, .duration_ns = duration_ns, .workers = m->count, .slowness = m->slowness};
    struct sim_report report;
    uint64_t slowest_ns = 0, ideal = ideal_ns(m, duration_ns, tasks);
    for (unsigned i = 0; i < m->count; i++)
        if (duration_ns * m->slowness[i] > slowest_ns)
            slowest_ns = duration_ns * m->slowness[i];
    sim_run_peace(&peace, false, &report);
    double over = ((double)report.makespan_ns - (double)ideal) / (double)slowest_ns;
    bool wrong = report.violation[0] || report.makespan_ns > ideal + slowest_ns + MESSAGES_NS;
    printf("%-8s %5zu tasks of %4.0f ms: %9.1f ms, ideal %9.1f ms: %5.2f tasks over%s %s\n",
           m->name, tasks, (double)duration_ns / 1e6, (double)report.makespan_ns / 1e6,
           (double)ideal / 1e6, over, wrong ? ": TOO LATE" : "", report.violation);
    return wrong;
}

unsigned peace_uneven(void)
{
    unsigned failed = 0;
    for (size_t farm = 0; farm < sizeof farms / sizeof *farms; farm++)
        for (size_t work = 0; work < sizeof works / sizeof *works; work++)
            failed += uneven(&farms[farm], works[work].duration_ns, works[work].tasks);
    return failed;
}

unsigned peace_crowd(unsigned workers)
{
    enum { TASKS_A_WORKER = 20 };
    unsigned failed = 0;
    for (unsigned count = workers > 100 ? workers / 100 : 1; count <= workers; count *= 10) {
        struct plan_peace peace = {.tasks = (size_t)workers * TASKS_A_WORKER,
                                   .duration_ns = 10 * NS_PER_MS,
                                   .workers = count};
        struct sim_report report;
        sim_run_peace(&peace, false, &report);
        printf(
            "%5u workers, %zu tasks: %s; %.1f s simulated, %llu events, ventilator %.0f ns/task\n",
            count, peace.tasks, report.violation[0] ? report.violation : "all is well",
            report.simulated_s, (unsigned long long)report.events,
            (double)report.ventilator_cpu_ns / (double)peace.tasks);
        failed += report.violation[0] != '\0';
    }
    return failed;
}
