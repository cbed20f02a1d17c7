/* SPDX-License-Identifier: MPL-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "tests/sim/peace.h"
#include "tests/sim/sim.h"

/* zfarm-sim --seed N [--trace]       one run, and how it went
 * zfarm-sim --seeds A-B              many; prints each that fails
 * zfarm-sim --digests A-B            many; prints what each has decided, as one number
 * zfarm-sim --fresh COUNT            many that nobody has tried; prints where they begin
 * zfarm-sim --minutes M              fresh ones for that long
 * zfarm-sim --uneven yes             unequal machines, next to the ideal
 * zfarm-sim --workers N              N workers, and fewer, in peace
 * Several may follow each other. Ends with 1 if a run broke a promise. */
static int usage(void)
{
    fprintf(stderr,
            "usage: zfarm-sim (--seed N [--trace] | --seeds A-B | --digests A-B | --fresh COUNT | "
            "--minutes M | --uneven yes | --workers N) ...\n");
    return 255;
}

static unsigned run_one(uint64_t seed, bool traced)
{
    struct sim_report r;
    sim_run(seed, traced, &r);
    printf("seed %" PRIu64 ": %s (%" PRIu64 " tasks, %" PRIu64 " lost, %.1f s, %" PRIu64
           " events)\n",
           seed, r.violation[0] ? r.violation : "all is well", r.tasks, r.lost, r.simulated_s,
           r.events);
    return r.violation[0] != '\0';
}

/* Seeds from first to last, or until the clock is there. */
static unsigned run_many(uint64_t first, uint64_t last, uint64_t until_ns)
{
    unsigned failed = 0;
    uint64_t began_ns = clock_now_ns(), tasks = 0, lost = 0, innocent = 0;
    double simulated_s = 0;
    uint64_t seed = first;
    for (; seed <= last && clock_now_ns() < until_ns; seed++) {
        struct sim_report r;
        sim_run(seed, false, &r);
        tasks += r.tasks;
        lost += r.lost;
        innocent += r.innocent;
        simulated_s += r.simulated_s;
        if (r.violation[0]) {
            failed++;
            printf("seed %" PRIu64 ": %s\n", seed, r.violation);
            fflush(stdout);
        }
    }
    double took_s = (double)(clock_now_ns() - began_ns) / 1e9;
    printf("seeds %" PRIu64 "-%" PRIu64 ": %u failed; %" PRIu64 " tasks, %" PRIu64 " lost (%" PRIu64
           " innocent), %.0f s simulated in %.1f s, %.0f seeds/s\n",
           first, seed - 1, failed, tasks, lost, innocent, simulated_s, took_s,
           (double)(seed - first) / took_s);
    return failed;
}

static void print_digests(uint64_t first, uint64_t last)
{
    for (uint64_t seed = first; seed <= last; seed++) {
        struct sim_report r;
        sim_run(seed, false, &r);
        printf("%" PRIu64 " %016" PRIx64 "\n", seed, r.digest);
    }
}

static bool range(const char *text, uint64_t *first, uint64_t *last)
{
    return sscanf(text, "%" SCNu64 "-%" SCNu64, first, last) == 2 && *first <= *last;
}

static bool number(const char *text, uint64_t *to)
{
    char *end;
    *to = strtoull(text, &end, 10);
    return end != text && *end == '\0';
}

/* Takes the first words off; returns false if they make no sense. */
static bool take_words(int *argc, char ***argv, unsigned *failed)
{
    char **words = *argv;
    int used = 2;
    uint64_t a = 0, b = 0;
    if (*argc < 2) {
        return false;
    } else if (strcmp(words[0], "--seed") == 0 && number(words[1], &a)) {
        bool traced = *argc > 2 && strcmp(words[2], "--trace") == 0;
        used += traced;
        *failed += run_one(a, traced);
    } else if (strcmp(words[0], "--seeds") == 0 && range(words[1], &a, &b)) {
        *failed += run_many(a, b, NEVER);
    } else if (strcmp(words[0], "--digests") == 0 && range(words[1], &a, &b)) {
        print_digests(a, b);
    } else if (strcmp(words[0], "--fresh") == 0 && number(words[1], &a) && a) {
        b = clock_realtime_us() * 1000;
        *failed += run_many(b, b + a - 1, NEVER);
    } else if (strcmp(words[0], "--minutes") == 0 && number(words[1], &a) && a) {
        b = clock_realtime_us() * 1000;
        *failed += run_many(b, UINT64_MAX - 1, clock_now_ns() + a * 60 * NS_PER_S);
    } else if (strcmp(words[0], "--uneven") == 0 && strcmp(words[1], "yes") == 0) {
        *failed += peace_uneven();
    } else if (strcmp(words[0], "--workers") == 0 && number(words[1], &a) && a && a <= 100000) {
        *failed += peace_crowd((unsigned)a);
    } else {
        return false;
    }
    *argc -= used;
    *argv += used;
    return true;
}

int main(int argc, char **argv)
{
    unsigned failed = 0;
    if (argc < 2)
        return usage();
    argc--;
    argv++;
    while (argc > 0)
        if (!take_words(&argc, &argv, &failed))
            return usage();
    return failed != 0;
}
