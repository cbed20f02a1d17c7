/* SPDX-License-Identifier: MPL-2.0 */
#include "common/private_dir.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(private_dir, .timeout = 60);

Test(private_dir, is_for_this_user_alone_and_goes_with_what_is_in_it)
{
    struct private_dir dir;
    struct stat status;
    char file[ENDPOINT_TEXT_SIZE], path[ENDPOINT_PATH_MAX + 1];
    cr_assert_eq(private_dir_make(&dir, NULL), ERR_NONE);
    strcpy(path, dir.path);
    cr_assert_eq(stat(path, &status), 0);
    cr_assert_eq(status.st_mode & 0777, 0700);
    cr_assert_eq(status.st_uid, getuid());
    snprintf(file, sizeof file, "%s/control", path);
    close(open(file, O_CREAT | O_WRONLY, 0600));
    private_dir_remove(&dir);
    cr_assert_neq(stat(path, &status), 0);
    private_dir_remove(&dir);
}

Test(private_dir, is_made_in_the_first_place_that_takes_it)
{
    struct private_dir dir;
    char parent[] = "/tmp/zfarm-test-XXXXXX";
    cr_assert_not_null(mkdtemp(parent));
    setenv("XDG_RUNTIME_DIR", "/no/such/directory", 1);
    setenv("TMPDIR", parent, 1);
    cr_assert_eq(private_dir_make(&dir, NULL), ERR_NONE);
    cr_assert_eq(strncmp(dir.path, parent, strlen(parent)), 0);
    private_dir_remove(&dir);
    char deep[120];
    snprintf(deep, sizeof deep, "/tmp/%0100d", 0);
    setenv("TMPDIR", deep, 1);
    cr_assert_eq(private_dir_make(&dir, NULL), ERR_NONE);
    cr_assert_eq(strncmp(dir.path, "/tmp/zfarm-", 11), 0);
    cr_assert_lt(strlen(dir.path) + PRIVATE_NAME_MAX, sizeof dir.path);
    private_dir_remove(&dir);
    rmdir(parent);
}

Test(private_dir, sweeps_what_has_the_prefix_and_nothing_else)
{
    struct private_dir dir;
    char lane[ENDPOINT_TEXT_SIZE], other[ENDPOINT_TEXT_SIZE];
    cr_assert_eq(private_dir_make(&dir, NULL), ERR_NONE);
    snprintf(lane, sizeof lane, "%s/lane-1", dir.path);
    snprintf(other, sizeof other, "%s/control", dir.path);
    close(open(lane, O_CREAT | O_WRONLY, 0600));
    close(open(other, O_CREAT | O_WRONLY, 0600));
    private_dir_sweep(dir.path, "lane-");
    cr_assert_neq(access(lane, F_OK), 0);
    cr_assert_eq(access(other, F_OK), 0);
    private_dir_remove(&dir);
}
