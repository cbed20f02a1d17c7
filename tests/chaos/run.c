/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/chaos/run.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "tests/chaos/evidence.h"

enum {
    LOOK_US = 1000,      /* so often the farm is looked at */
    LIMIT_MS = 3000,     /* silence after which somebody counts as dead */
    LATE_MS = 3000,      /* so long a worker may stay behind the others */
    LEAVES_MS = 15000,   /* so long it may take after TERM */
    ELSEWHERE_MS = 4000, /* a frozen worker's tasks run elsewhere within that */
    AT_ONCE_MS = 1000,   /* two deaths within that: neither side knows all of the other */
};

struct run {
    const struct run_options *options;
    struct plan *plan;
    struct report *report;
    struct farm farm;
    struct evidence evidence;
    uint64_t began_ns;
    uint64_t termed_ns; /* when the last workers were told to end */
};

__attribute__((format(printf, 2, 3))) static void find(struct run *run, const char *format, ...)
{
    size_t used = strlen(run->report->words);
    va_list list;
    va_start(list, format);
    vsnprintf(run->report->words + used, WORDS_MAX - used, format, list);
    va_end(list);
}

/* ---- blows ---- */

static void kill_and_start_again(struct run *run, enum role role)
{
    farm_kill(&run->farm, role);
    if (role == SINK || role == VENTILATOR)
        evidence_snapshot(&run->evidence);
    farm_start(&run->farm, role);
}

static void strike(struct run *run, struct blow *blow, uint64_t now_ns)
{
    if (farm_has_ended(&run->farm, blow->role)) {
        find(run, "the %s had ended before it was its turn\n", run->farm.members[blow->role].name);
        blow->over = true;
        blow->struck_ns = now_ns;
        return;
    }
    blow->pid = run->farm.members[blow->role].pid;
    blow->struck_ns = clock_now_ns();
    if (blow->freeze_ns)
        farm_signal(&run->farm, blow->role, SIGSTOP, blow->with_children);
    else
        kill_and_start_again(run, blow->role);
    blow->over = blow->freeze_ns == 0;
}

static bool is_due(const struct run *run, const struct blow *blow, uint64_t now_ns)
{
    if (blow == run->plan->blows || !blow->after_ns)
        return run->evidence.ran >= blow->at_ran;
    /* It follows the one before, unless the job has come so far in the meantime that it may end. */
    return now_ns >= blow[-1].struck_ns + blow->after_ns;
}

static void strike_what_is_due(struct run *run, uint64_t now_ns)
{
    for (size_t i = 0; i < run->plan->count; i++) {
        struct blow *blow = &run->plan->blows[i];
        if (!blow->struck_ns) {
            if (!is_due(run, blow, now_ns))
                return;
            strike(run, blow, now_ns);
        } else if (!blow->over && now_ns >= blow->struck_ns + blow->freeze_ns) {
            farm_signal(&run->farm, blow->role, SIGCONT, blow->with_children);
            blow->over = true;
        }
    }
}

/* A blow by time that comes too late is left out: it would hit a job that is over. */
static void forget_what_is_late(struct run *run)
{
    uint64_t last = run->options->tasks * 97 / 100;
    for (size_t i = 0; i < run->plan->count; i++)
        if (!run->plan->blows[i].struck_ns && run->evidence.ran > last)
            run->plan->count = i;
}

/* ---- the end ---- */

static bool job_is_over(const struct run *run)
{
    return farm_has_ended(&run->farm, VENTILATOR) && farm_has_ended(&run->farm, SINK);
}

static uint64_t job_ended_ns(const struct run *run)
{
    uint64_t ventilator_ns = run->farm.members[VENTILATOR].ended_ns;
    uint64_t sink_ns = run->farm.members[SINK].ended_ns;
    return ventilator_ns > sink_ns ? ventilator_ns : sink_ns;
}

/* Whoever was started again so late that it found nobody waits for the next job, as it should. Its
 * process manager tells it that there is none. */
static void end_late_workers(struct run *run, uint64_t now_ns)
{
    if (run->termed_ns || now_ns < job_ended_ns(run) + LATE_MS * NS_PER_MS)
        return;
    run->termed_ns = now_ns;
    for (int role = WORKER_ONE; role < ROLES; role++) {
        if (farm_has_ended(&run->farm, (enum role)role))
            continue;
        if (run->farm.members[role].lives == 1)
            find(run, "%s is there %d ms after the job's end\n", run->farm.members[role].name,
                 LATE_MS);
        farm_signal(&run->farm, (enum role)role, SIGTERM, false);
        run->report->late = true;
    }
}

static bool all_have_ended(struct run *run, uint64_t now_ns)
{
    if (!job_is_over(run))
        return false;
    if (farm_has_ended(&run->farm, WORKER_ONE) && farm_has_ended(&run->farm, WORKER_TWO))
        return true;
    end_late_workers(run, now_ns);
    return run->termed_ns && now_ns > run->termed_ns + LEAVES_MS * NS_PER_MS;
}

/* ---- what is found ---- */

static void check_statuses(struct run *run)
{
    uint64_t failed =
        run->options->farm.fail_every ? run->options->tasks / run->options->farm.fail_every : 0;
    int job = failed > 100 ? 101 : (int)failed; /* of both who know how it ended */
    int expected[ROLES] = {[VENTILATOR] = job, [SINK] = job};
    for (int role = 0; role < ROLES; role++) {
        const struct member *member = &run->farm.members[role];
        int status = farm_status(&run->farm, (enum role)role);
        bool was_told = run->report->late && role >= WORKER_ONE && member->lives > 1;
        if (!farm_has_ended(&run->farm, (enum role)role))
            find(run, "%s does not end\n", member->name);
        else if (status != expected[role] && !(was_told && status == 255))
            find(run, "%s ended with %d instead of %d\n", member->name, status, expected[role]);
    }
}

/* Who died within a second of a blow, so that what was known of it at the blow may have been old. */
static bool worker_died_near(const struct run *run, uint64_t at_ns)
{
    for (size_t i = 0; i < run->plan->count; i++) {
        const struct blow *blow = &run->plan->blows[i];
        if (blow->role >= WORKER_ONE && blow->struck_ns &&
            blow->struck_ns < at_ns + AT_ONCE_MS * NS_PER_MS &&
            at_ns < blow->struck_ns + AT_ONCE_MS * NS_PER_MS)
            return true;
    }
    return false;
}

static void check_run_again(struct run *run)
{
    for (size_t i = 0; i < run->evidence.snapshot_count; i++) {
        const struct snapshot *snapshot = &run->evidence.snapshots[i];
        size_t again = evidence_run_again(&run->evidence, snapshot);
        if (again && worker_died_near(run, snapshot->at_ns))
            run->report->doomed_again += again;
        else if (again)
            find(run, "%zu tasks ran again although they had been stored\n", again);
    }
}

/* How soon a worker's tasks were elsewhere, if nobody else was struck meanwhile. */
static void measure_elsewhere(struct run *run)
{
    for (size_t i = 0; i < run->plan->count; i++) {
        const struct blow *blow = &run->plan->blows[i];
        uint64_t last_ns, around_ns = blow->freeze_ns ? NS_PER_S : 5 * NS_PER_MS;
        if (blow->role < WORKER_ONE || !blow->struck_ns ||
            !evidence_elsewhere(&run->evidence, blow->pid, blow->struck_ns, around_ns, &last_ns))
            continue;
        bool alone = i == 0 || run->plan->blows[i - 1].struck_ns + 5 * NS_PER_S < blow->struck_ns;
        if (i + 1 < run->plan->count &&
            run->plan->blows[i + 1].struck_ns < blow->struck_ns + last_ns)
            alone = false;
        if (alone && last_ns > run->report->elsewhere_ns)
            run->report->elsewhere_ns = last_ns;
        if (alone && blow->freeze_ns && last_ns > ELSEWHERE_MS * NS_PER_MS)
            find(run, "a frozen worker's tasks were elsewhere only after %.3f s\n",
                 (double)last_ns / 1e9);
    }
}

static bool file_says(const char *file, const char *words)
{
    char line[1024];
    bool says = false;
    FILE *in = fopen(file, "re");
    while (in && fgets(line, sizeof line, in))
        says |= strstr(line, words) != NULL;
    if (in)
        fclose(in);
    return says;
}

/* Nobody was away for as long as the limit: nobody may have been taken for dead, nothing ran again. */
static void check_calm(struct run *run)
{
    for (size_t i = 0; i < run->plan->count; i++)
        if (!run->plan->blows[i].freeze_ns || run->plan->blows[i].freeze_ns >= LIMIT_MS * NS_PER_MS)
            return;
    if (run->evidence.count != run->options->tasks)
        find(run, "%zu runs of %" PRIu64 " tasks\n", run->evidence.count, run->options->tasks);
    for (size_t i = 0; i < run->evidence.count; i++)
        if (run->evidence.effects[i].attempt != 1) {
            find(run, "task %" PRIu64 " had attempt %u\n", run->evidence.effects[i].seq,
                 run->evidence.effects[i].attempt);
            break;
        }
    if (file_says("ventilator.err", "silent"))
        find(run, "the ventilator took somebody for dead who was not\n");
}

static void tell_tail(struct run *run, const char *name)
{
    char file[64], lines[4][300] = {{0}};
    unsigned at = 0;
    snprintf(file, sizeof file, "%s.err", name);
    FILE *in = fopen(file, "re");
    while (in && fgets(lines[at % 4], sizeof lines[0], in))
        at++;
    if (in)
        fclose(in);
    for (unsigned i = at < 4 ? 0 : at - 4; i < at; i++)
        find(run, "  %s: %s", name, lines[i % 4]);
}

static void tell_who_waits(struct run *run)
{
    find(run, "it hangs: %" PRIu64 " of %" PRIu64 " tasks have run\n", run->evidence.ran,
         run->options->tasks);
    for (int role = 0; role < ROLES; role++) {
        if (!farm_has_ended(&run->farm, (enum role)role))
            tell_tail(run, run->farm.members[role].name);
        else
            find(run, "  %s has ended with %d\n", run->farm.members[role].name,
                 farm_status(&run->farm, (enum role)role));
    }
    run->report->hung = true;
}

static void check(struct run *run)
{
    char words[WORDS_MAX / 2];
    evidence_read(&run->evidence);
    check_statuses(run);
    check_run_again(run);
    check_calm(run);
    measure_elsewhere(run);
    if (!evidence_audit(&run->evidence, run->options->farm.fail_every, run->plan->keep_order, words,
                        sizeof words))
        find(run, "%s", words);
}

/* The guards and slots of who was killed may take a moment to follow. */
static void check_nothing_is_left(struct run *run)
{
    uint64_t until_ns = clock_now_ns() + 5 * NS_PER_S;
    while (!farm_is_gone(&run->farm) && clock_now_ns() < until_ns)
        usleep(LOOK_US);
    size_t left = farm_kill_all(&run->farm);
    if (left && !run->report->hung)
        find(run, "%zu processes are still there\n", left);
}

void run_plan(const struct run_options *options, struct plan *plan, struct report *report)
{
    struct run run = {
        .options = options, .plan = plan, .report = report, .began_ns = clock_now_ns()};
    struct farm_options farm = options->farm;
    farm.keep_order = plan->keep_order;
    *report = (struct report){0};
    farm_init(&run.farm, &farm, plan->chance);
    evidence_init(&run.evidence, options->tasks);
    for (int role = 0; role < ROLES; role++)
        farm_start(&run.farm, (enum role)role);
    for (bool over = false; !over && !report->hung;) {
        usleep(LOOK_US);
        uint64_t now_ns = clock_now_ns();
        farm_reap(&run.farm);
        evidence_read(&run.evidence);
        forget_what_is_late(&run);
        strike_what_is_due(&run, now_ns);
        over = all_have_ended(&run, now_ns);
        if (!over && now_ns > run.began_ns + options->limit_ns)
            tell_who_waits(&run);
    }
    report->seconds = (double)(clock_now_ns() - run.began_ns) / 1e9;
    check_nothing_is_left(&run);
    if (!report->hung)
        check(&run);
    report->effects = run.evidence.count;
    report->complete = report->words[0] == '\0';
    evidence_free(&run.evidence);
    farm_free(&run.farm);
}
