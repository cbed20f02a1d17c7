/* SPDX-License-Identifier: MPL-2.0 */
#include "common/cli/jobs.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/xalloc.h"

TestSuite(jobs, .timeout = 60);

static uint32_t count_of(const char *text, uint32_t cores)
{
    struct jobs jobs;
    struct why why;
    cr_assert_eq(jobs_parse(text, &jobs, &why), ERR_NONE, "%s: %s", text, why.text);
    return jobs_count(jobs, cores, 250);
}

/* What GNU parallel 20221122 does with two cores, and its manual for the rest. */
Test(jobs, counts_and_shares_of_the_cores_are_those_of_gnu_parallel)
{
    cr_assert_eq(count_of("4", 2), 4);
    cr_assert_eq(count_of("50%", 2), 1);
    cr_assert_eq(count_of("100%", 2), 2);
    cr_assert_eq(count_of("150%", 2), 3);
    cr_assert_eq(count_of("10%", 2), 1);
    cr_assert_eq(count_of("12.5%", 16), 2);
    cr_assert_eq(count_of("+1", 2), 3);
    cr_assert_eq(count_of("-1", 8), 7);
    cr_assert_eq(count_of("-1", 2), 1);
    cr_assert_eq(count_of("-10", 2), 1, "its manual says at least 1");
    cr_assert_eq(count_of("0", 2), 250, "as many as possible");
    cr_assert_eq(count_of("0%", 2), 1);
}

Test(jobs, no_text_gives_more_than_the_most_slots)
{
    cr_assert_eq(count_of("1000000%", 100), JOBS_MAX);
    cr_assert_eq(count_of("+1000000", 100), JOBS_MAX);
    struct jobs jobs = {JOBS_COUNT, 7};
    struct why why;
    cr_assert_eq(jobs_parse("4097", &jobs, &why), ERR_INVALID);
    cr_assert(strstr(why.text, "4096"));
    cr_assert_eq(jobs.number, 7, "is left alone");
}

Test(jobs, nonsense_is_refused_with_what_is_right)
{
    static const char *const bad[] = {"",    "abc", "4x",  "+",    "-",   "%",
                                      "1.5", "+5%", "5%x", "1.5x", "--1", "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct jobs jobs;
        struct why why = {""};
        cr_assert_eq(jobs_parse(bad[i], &jobs, &why), ERR_INVALID, "%s", bad[i]);
        cr_assert(strstr(why.text, "50%"), "%s", why.text);
    }
}

Test(jobs, there_is_at_least_one_core_and_room_for_one_slot)
{
    cr_assert_geq(jobs_cores(), 1);
    cr_assert_geq(jobs_most(), 1);
    cr_assert_leq(jobs_most(), JOBS_MAX);
}

static void write_file(const char *directory, const char *name, const char *text)
{
    char *path = xasprintf("%s/%s", directory, name);
    for (char *slash = path + strlen(directory) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        mkdir(path, 0700);
    }
    FILE *file = fopen(path, "w");
    cr_assert(file, "%s", path);
    fputs(text, file);
    fclose(file);
    free(path);
}

static uint32_t quota(const char *directory)
{
    char *membership = xasprintf("%s/cgroup", directory);
    uint32_t cores = jobs_cores_quota(membership, directory);
    free(membership);
    return cores;
}

Test(jobs, a_quota_of_the_control_group_or_of_one_around_it_counts)
{
    char directory[] = "/tmp/zfarm-test-XXXXXX";
    cr_assert(mkdtemp(directory));
    cr_assert_eq(quota(directory), UINT32_MAX, "no such files");

    write_file(directory, "cgroup", "0::/outer/inner\n");
    cr_assert_eq(quota(directory), UINT32_MAX, "a group that cannot be seen");
    write_file(directory, "cpu.max", "max 100000\n");
    cr_assert_eq(quota(directory), UINT32_MAX);
    write_file(directory, "outer/cpu.max", "150000 100000\n");
    cr_assert_eq(quota(directory), 2, "a part of a core counts as one");
    write_file(directory, "outer/inner/cpu.max", "400000 100000\n");
    cr_assert_eq(quota(directory), 2, "the smaller one of them");

    write_file(directory, "cgroup", "9:cpuset:/\n4:cpu,cpuacct:/docker/1\n0::/\n");
    write_file(directory, "cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    write_file(directory, "cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    cr_assert_eq(quota(directory), UINT32_MAX);
    write_file(directory, "cpu,cpuacct/cpu.cfs_quota_us", "300000\n");
    cr_assert_eq(quota(directory), 3, "the mount's own group when the named one is not there");

    char *remove = xasprintf("rm -r %s", directory);
    cr_assert_eq(system(remove), 0);
    free(remove);
}
