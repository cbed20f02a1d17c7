/* SPDX-License-Identifier: MPL-2.0 */
#include "common/sys/beacon.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Each test has a directory of its own as the only place where farms are. */
static char place[] = "/tmp/zfarm-test-XXXXXX";

static void begin(void)
{
    cr_assert_not_null(mkdtemp(place));
    unsetenv("XDG_RUNTIME_DIR");
    setenv("TMPDIR", place, 1);
}

static void end(void)
{
    rmdir(place);
}

TestSuite(beacon, .timeout = 60, .init = begin, .fini = end);

static void light(struct private_dir *dir, const char *bound, pid_t parent)
{
    struct why why;
    cr_assert_eq(private_dir_make(dir, &why), ERR_NONE, "%s", why.text);
    cr_assert_eq(beacon_light(dir, bound, parent, &why), ERR_NONE, "%s", why.text);
}

static void expect_found(size_t count, const char *endpoint)
{
    struct beacons found = {0};
    beacons_find(&found);
    cr_assert_eq(found.count, count, "%zu were found", found.count);
    if (endpoint)
        cr_assert_str_eq(found.items[0].endpoint, endpoint);
    beacons_free(&found);
}

Test(beacon, is_found_with_its_process_and_goes_with_its_directory)
{
    struct private_dir dir;
    struct beacons found = {0};
    expect_found(0, NULL);
    light(&dir, "tcp://127.0.0.1:5556", 77);
    beacons_find(&found);
    cr_assert_eq(found.count, 1);
    cr_assert_eq(found.items[0].pid, getpid());
    cr_assert_eq(found.items[0].parent, 77);
    cr_assert_str_eq(found.items[0].endpoint, "tcp://127.0.0.1:5556");
    beacons_free(&found);
    private_dir_remove(&dir);
    expect_found(0, NULL);
}

Test(beacon, names_a_place_that_can_be_connected_to)
{
    static const char *const pairs[][2] = {{"tcp://0.0.0.0:5556", "tcp://127.0.0.1:5556"},
                                           {"tcp://[::]:5556", "tcp://127.0.0.1:5556"},
                                           {"tcp://10.0.0.1:5556", "tcp://10.0.0.1:5556"},
                                           {"ipc:///run/x", "ipc:///run/x"},
                                           {"ipc://x/y", "ipc:///tmp/x/y"}};
    cr_assert_eq(chdir("/tmp"), 0);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct private_dir dir;
        light(&dir, pairs[i][0], 0);
        expect_found(1, pairs[i][1]);
        private_dir_remove(&dir);
    }
}

Test(beacon, of_a_process_that_died_is_not_looked_at)
{
    pid_t child = fork();
    if (child == 0) {
        struct private_dir dir;
        bool lit = !private_dir_make(&dir, NULL) && !beacon_light(&dir, "ipc:///x", 0, NULL);
        _exit(lit ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    cr_assert_eq(status, 0);
    expect_found(0, NULL);
    char command[256];
    snprintf(command, sizeof command, "rm -r %s/zfarm-*", place);
    cr_assert_eq(system(command), 0);
}

Test(beacon, in_a_directory_that_others_can_enter_is_not_looked_at)
{
    struct private_dir dir;
    light(&dir, "ipc:///x", 0);
    expect_found(1, "ipc:///x");
    chmod(dir.path, 0750);
    expect_found(0, NULL);
    chmod(dir.path, 0700);
    private_dir_remove(&dir);
}

Test(beacon, that_says_nothing_or_something_else_is_not_looked_at)
{
    static const char *const contents[] = {"", "no line"};
    struct private_dir dir;
    char path[512];
    cr_assert_eq(private_dir_make(&dir, NULL), ERR_NONE);
    expect_found(0, NULL); /* as that of zfarm run itself */
    snprintf(path, sizeof path, "%s/beacon", dir.path);
    for (size_t i = 0; i < 2; i++) {
        FILE *file = fopen(path, "w");
        cr_assert(file && fputs(contents[i], file) >= 0 && fclose(file) == 0);
        expect_found(0, NULL);
    }
    private_dir_remove(&dir);
}

Test(beacon, is_found_once_when_two_variables_name_one_place)
{
    struct private_dir dir;
    light(&dir, "ipc:///x", 0);
    setenv("XDG_RUNTIME_DIR", place, 1);
    expect_found(1, "ipc:///x");
    private_dir_remove(&dir);
}
