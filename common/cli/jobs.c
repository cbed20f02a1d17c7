/* SPDX-License-Identifier: MPL-2.0 */
#include "common/cli/jobs.h"

#include <ctype.h>
#include <inttypes.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/base/xalloc.h"

enum { DESCRIPTORS_KEPT = 36, DESCRIPTORS_PER_SLOT = 4, PERCENT_UNIT = 100 };

/* Digits at `*at`, up to a million: nobody means more, and sums cannot overflow. */
static bool jobs_take_number(const char **at, uint32_t *number)
{
    if (!isdigit((unsigned char)**at))
        return false;
    for (*number = 0; isdigit((unsigned char)**at); ++*at) {
        *number = *number * 10 + (uint32_t)(**at - '0');
        if (*number > 1000000)
            return false;
    }
    return true;
}

/* Up to two digits behind a point, in hundredths. */
static uint32_t take_hundredths(const char **at)
{
    uint32_t hundredths = 0;
    if (**at != '.')
        return 0;
    ++*at;
    for (uint32_t unit = 10; isdigit((unsigned char)**at); unit /= 10)
        hundredths += unit * (uint32_t)(*(*at)++ - '0');
    return hundredths;
}

enum error jobs_parse(const char *text, struct jobs *jobs, struct why *why)
{
    struct jobs parsed = {JOBS_COUNT, 0};
    const char *at = text;
    if (*at == '+' || *at == '-')
        parsed.kind = *at++ == '+' ? JOBS_MORE : JOBS_LESS;
    bool right = jobs_take_number(&at, &parsed.number);
    if (right && parsed.kind == JOBS_COUNT && strchr(at, '%')) {
        parsed.kind = JOBS_PERCENT;
        parsed.number = parsed.number * PERCENT_UNIT + take_hundredths(&at);
        right = *at++ == '%';
    }
    if (!right || *at)
        return fail(
            why, ERR_INVALID,
            "'%.100s' is no number of slots: give 4, or 50%% or +1 or -1 (of the cores), or 0 "
            "for as many as possible",
            text);
    if (parsed.kind == JOBS_COUNT && parsed.number > JOBS_MAX)
        return fail(why, ERR_INVALID, "'%.100s' is too many: a worker has at most %d slots", text,
                    JOBS_MAX);
    *jobs = parsed;
    return ERR_NONE;
}

static uint32_t clamp(uint64_t count, uint32_t most)
{
    return count < 1 ? 1 : count > most ? most : (uint32_t)count;
}

uint32_t jobs_count(struct jobs jobs, uint32_t cores, uint32_t most)
{
    uint64_t count = jobs.number;
    switch (jobs.kind) {
    case JOBS_COUNT:
        if (count == 0)
            count = most;
        break;
    case JOBS_PERCENT:
        count = count * cores / (100 * PERCENT_UNIT);
        break;
    case JOBS_MORE:
        count += cores;
        break;
    case JOBS_LESS:
        count = count < cores ? cores - count : 1;
        break;
    }
    return clamp(count, JOBS_MAX);
}

uint32_t jobs_most(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == RLIM_INFINITY)
        return JOBS_MAX;
    if (limit.rlim_cur <= DESCRIPTORS_KEPT)
        return 1;
    return clamp((limit.rlim_cur - DESCRIPTORS_KEPT) / DESCRIPTORS_PER_SLOT, JOBS_MAX);
}

/* The affinity, whatever the number of cores of the machine: the kernel refuses a set that is
 * smaller than its own. */
static uint32_t affinity_cores(void)
{
    for (size_t size = 1024; size <= 1024 * 1024; size *= 2) {
        cpu_set_t *set = CPU_ALLOC(size);
        size_t bytes = CPU_ALLOC_SIZE(size);
        int count = set && sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (count > 0)
            return (uint32_t)count;
    }
    return 1;
}

/* Reads up to two words of the file `directory`/`name`; false if it is not there. */
static bool read_words(const char *directory, const char *name, char words[2][32])
{
    char *path = xasprintf("%s/%s", directory, name);
    FILE *file = fopen(path, "re");
    free(path);
    if (!file)
        return false;
    words[1][0] = '\0';
    int count = fscanf(file, "%31s %31s", words[0], words[1]);
    fclose(file);
    return count >= 1;
}

static uint32_t cores_of(const char *quota_us, const char *period_us)
{
    int64_t quota = strtoll(quota_us, NULL, 10), period = strtoll(period_us, NULL, 10);
    if (quota <= 0 || period <= 0 || quota / period >= UINT32_MAX)
        return UINT32_MAX; /* "max" and -1: no quota */
    return (uint32_t)((quota + period - 1) / period);
}

static uint32_t directory_quota(const char *directory, bool version_2)
{
    char words[2][32], period[2][32];
    if (version_2)
        return read_words(directory, "cpu.max", words) ? cores_of(words[0], words[1]) : UINT32_MAX;
    if (!read_words(directory, "cpu.cfs_quota_us", words) ||
        !read_words(directory, "cpu.cfs_period_us", period))
        return UINT32_MAX;
    return cores_of(words[0], period[0]);
}

/* The smallest quota of the group and of those around it, up to the mount itself: inside a
 * container the path is often that of the host and not there, while the mount shows the container's
 * own group. */
static uint32_t group_quota(const char *mount, const char *controllers, const char *group)
{
    uint32_t cores = UINT32_MAX;
    char *base = xasprintf("%s%s%s", mount, *controllers ? "/" : "", controllers);
    char *directory = xasprintf("%s%s", base, group);
    for (size_t base_size = strlen(base);;) {
        uint32_t quota = directory_quota(directory, !*controllers);
        cores = quota < cores ? quota : cores;
        char *slash = strrchr(directory, '/');
        if (!slash || (size_t)(slash - directory) < base_size)
            break;
        *slash = '\0';
    }
    free(directory);
    free(base);
    return cores;
}

static bool has_cpu(const char *controllers)
{
    for (const char *at = controllers; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, "cpu", 3) == 0 && (at[3] == ',' || at[3] == '\0'))
            return true;
    }
    return false;
}

uint32_t jobs_cores_quota(const char *membership, const char *mount)
{
    uint32_t cores = UINT32_MAX;
    FILE *file = fopen(membership, "re");
    if (!file)
        return cores;
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, file) > 0) { /* 4:cpu,cpuacct:/group, or 0::/group */
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        *controllers++ = *group++ = '\0';
        if (*controllers && !has_cpu(controllers))
            continue;
        uint32_t quota = group_quota(mount, controllers, group);
        cores = quota < cores ? quota : cores;
    }
    free(line);
    fclose(file);
    return cores;
}

uint32_t jobs_cores(void)
{
    uint32_t cores = affinity_cores();
    uint32_t quota = jobs_cores_quota("/proc/self/cgroup", "/sys/fs/cgroup");
    return quota < cores ? quota : cores;
}
