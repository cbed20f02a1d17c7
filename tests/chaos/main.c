/* SPDX-License-Identifier: MPL-2.0 */

/* zfarm-chaos: a farm of real processes is killed, frozen and started again, run after run, and each
 * result is audited. `./dev chaos` builds all that it needs, and calls it. */
#include <err.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/xalloc.h"
#include "tests/chaos/run.h"

static const char usage[] =
    "usage: zfarm-chaos --programs DIR --plugin FILE.so [OPTION]...\n"
    "  --runs N       so many runs (10)\n"
    "  --seed S       of the first run; the others count on (from the clock)\n"
    "  --tasks N      tasks in each (20000)\n"
    "  --task-us N    microseconds that each takes (1000)\n"
    "  --limit SECS   a run that takes longer hangs (90, and what the work takes)\n"
    "  --freeze       freeze each role in turn, for 2 s and for 5 s, instead of killing\n"
    "  --freeze-ms N  freeze for so long\n"
    "  --restart      kill the sink once and the ventilator once, in a million tasks that take no "
    "time\n"
    "  --few          a few of all these, a minute long\n"
    "  --keep         keep the files of good runs, too\n";

enum mode { KILLS, FREEZES, RESTARTS, FEW };

enum {
    FEW_KILLS = 3,
    FEW_FREEZES = 2 * ROLES,
    FEW_RESTARTS = 1,
    FEW_TASKS = 12000,
    MANY_TASKS = 1000000
};

struct settings {
    struct run_options run;
    enum mode mode;
    uint64_t runs, seed, limit_s, freeze_ms;
    bool keep;
};

struct totals {
    uint64_t runs, complete, hung, late, doomed_again;
    uint64_t *elsewhere_ns; /* of the runs that measured it */
    size_t measured;
};

static void make_tasks(uint64_t tasks)
{
    FILE *out = fopen("tasks", "we");
    if (!out)
        err(2, "tasks");
    for (uint64_t i = 1; i <= tasks; i++)
        fprintf(out, "%" PRIu64 "\n", i);
    if (fclose(out))
        err(2, "tasks");
}

/* What run `number` is; with FEW it may be any. */
static enum mode mode_of(const struct settings *s, uint64_t number)
{
    if (s->mode != FEW)
        return s->mode;
    return number < FEW_KILLS ? KILLS : number < FEW_KILLS + FEW_FREEZES ? FREEZES : RESTARTS;
}

static void make_plan(const struct settings *s, enum mode mode, struct plan *plan, uint64_t number)
{
    uint64_t seed = s->seed + number;
    if (mode == KILLS) {
        plan_kills(plan, seed, s->run.tasks);
    } else if (mode == RESTARTS) {
        plan_restarts(plan, seed, s->run.tasks);
    } else {
        uint64_t turn = s->mode == FEW ? number - FEW_KILLS : number;
        uint64_t ms = s->freeze_ms ? s->freeze_ms : turn / ROLES % 2 ? 5000 : 2000;
        plan_freeze(plan, seed, s->run.tasks, (enum role)(turn % ROLES), ms * NS_PER_MS);
    }
}

static void tell_plan(const struct plan *plan, const struct run_options *options)
{
    static const char *const names[ROLES] = {"ventilator", "sink", "worker one", "worker two"};
    for (size_t i = 0; i < plan->count; i++) {
        const struct blow *blow = &plan->blows[i];
        printf("%s %s ", i ? "," : "", names[blow->role]);
        if (i && blow->after_ns)
            printf("%.3f s later", (double)blow->after_ns / 1e9);
        else
            printf("at %.1f %%", 100.0 * (double)blow->at_ran / (double)options->tasks);
        if (blow->freeze_ns)
            printf(" for %.1f s%s", (double)blow->freeze_ns / 1e9,
                   blow->with_children ? " with its slots" : "");
    }
}

static void take(struct totals *totals, const struct report *report)
{
    totals->runs++;
    totals->complete += report->complete;
    totals->hung += report->hung;
    totals->late += report->late;
    totals->doomed_again += report->doomed_again;
    if (report->elsewhere_ns)
        totals->elsewhere_ns[totals->measured++] = report->elsewhere_ns;
}

static void tell_run(const struct plan *plan, const struct report *report,
                     const struct run_options *options, uint64_t seed)
{
    printf("%s seed %" PRIu64 ":%s", report->complete ? "ok" : "not ok", seed,
           plan->keep_order ? " -k," : "");
    tell_plan(plan, options);
    printf("; %.1f s, %" PRIu64 " runs of tasks", report->seconds, report->effects);
    if (report->elsewhere_ns)
        printf(", elsewhere after %.3f s", (double)report->elsewhere_ns / 1e9);
    printf("%s\n%s", report->late ? ", a worker came too late" : "", report->words);
    fflush(stdout);
}

/* The files of a good run go, those of a bad one stay. */
static void clear_away(const char *dir, bool keep)
{
    char *command = xasprintf("rm -rf '%s'", dir);
    if (keep)
        printf("  its files are in %s\n", dir);
    else if (system(command))
        warnx("cannot remove %s", dir);
    free(command);
}

static void one_run(struct settings s, uint64_t number, struct totals *totals)
{
    struct plan plan;
    struct report report;
    enum mode mode = mode_of(&s, number);
    if (mode == RESTARTS) {
        s.run.farm.task_us = 0;
        s.run.tasks = s.run.tasks > MANY_TASKS ? s.run.tasks : MANY_TASKS;
    }
    s.run.limit_ns = s.limit_s * NS_PER_S + s.run.tasks * s.run.farm.task_us * NS_PER_US;
    char *dir = xasprintf("run-%" PRIu64, s.seed + number);
    make_plan(&s, mode, &plan, number);
    if (mkdir(dir, 0777) || chdir(dir))
        err(2, "%s", dir);
    make_tasks(s.run.tasks);
    run_plan(&s.run, &plan, &report);
    if (chdir(".."))
        err(2, "..");
    take(totals, &report);
    tell_run(&plan, &report, &s.run, s.seed + number);
    clear_away(dir, s.keep || !report.complete);
    free(dir);
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void tell_totals(struct totals *t)
{
    printf("%" PRIu64 " runs, %" PRIu64 " complete, %" PRIu64 " hung, in %" PRIu64
           " a worker came too late, %" PRIu64 " stored tasks ran again after two deaths at once\n",
           t->runs, t->complete, t->hung, t->late, t->doomed_again);
    if (t->measured) {
        qsort(t->elsewhere_ns, t->measured, sizeof *t->elsewhere_ns, by_size);
        printf("a worker's tasks began elsewhere after: median %.3f s, most %.3f s, in %zu runs\n",
               (double)t->elsewhere_ns[t->measured / 2] / 1e9,
               (double)t->elsewhere_ns[t->measured - 1] / 1e9, t->measured);
    }
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", t->complete, t->runs - t->complete);
}

static void parse(struct settings *s, int argc, char **argv)
{
    enum {
        PROGRAMS = 1,
        PLUGIN,
        RUNS,
        SEED,
        TASKS,
        TASK_US,
        LIMIT,
        FREEZE,
        FREEZE_MS,
        RESTART,
        FEW_OF_ALL,
        KEEP
    };
    static const struct option options[] = {{"programs", 1, NULL, PROGRAMS},
                                            {"plugin", 1, NULL, PLUGIN},
                                            {"runs", 1, NULL, RUNS},
                                            {"seed", 1, NULL, SEED},
                                            {"tasks", 1, NULL, TASKS},
                                            {"task-us", 1, NULL, TASK_US},
                                            {"limit", 1, NULL, LIMIT},
                                            {"freeze", 0, NULL, FREEZE},
                                            {"freeze-ms", 1, NULL, FREEZE_MS},
                                            {"restart", 0, NULL, RESTART},
                                            {"few", 0, NULL, FEW_OF_ALL},
                                            {"keep", 0, NULL, KEEP},
                                            {0}};
    uint64_t *const numbers[] = {[RUNS] = &s->runs,       [SEED] = &s->seed,
                                 [TASKS] = &s->run.tasks, [TASK_US] = &s->run.farm.task_us,
                                 [LIMIT] = &s->limit_s,   [FREEZE_MS] = &s->freeze_ms};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == '?')
            errx(2, "%s", usage);
        else if (option == PROGRAMS)
            s->run.farm.programs = optarg;
        else if (option == PLUGIN)
            s->run.farm.plugin = optarg;
        else if (option == RESTART)
            s->mode = RESTARTS;
        else if (option == FEW_OF_ALL)
            s->mode = FEW;
        else if (option == KEEP)
            s->keep = true;
        else if (option == FREEZE)
            s->mode = FREEZES;
        else
            *numbers[option] = strtoull(optarg, NULL, 10);
    }
    if (s->freeze_ms)
        s->mode = FREEZES;
    if (s->mode == FEW) {
        s->runs = FEW_KILLS + FEW_FREEZES + FEW_RESTARTS;
        s->run.tasks = FEW_TASKS;
    }
    if (optind != argc || !s->run.farm.programs || !s->run.farm.plugin || !s->runs ||
        s->run.tasks < 100)
        errx(2, "%s", usage);
}

int main(int argc, char **argv)
{
    struct settings s = {.run = {.tasks = 20000, .farm = {.task_us = 1000, .fail_every = 1000}},
                         .runs = 10,
                         .seed = (uint64_t)time(NULL) * 1000,
                         .limit_s = 90};
    parse(&s, argc, argv);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    struct totals totals = {.elsewhere_ns = xcalloc(s.runs, sizeof(uint64_t))};
    printf("seeds %" PRIu64 " to %" PRIu64 "\n", s.seed, s.seed + s.runs - 1);
    for (uint64_t number = 0; number < s.runs; number++)
        one_run(s, number, &totals);
    tell_totals(&totals);
    free(totals.elsewhere_ns);
    return totals.complete < totals.runs;
}
