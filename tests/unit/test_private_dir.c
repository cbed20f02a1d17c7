/* SPDX-License-Identifier: MPL-2.0 */
#include "common/sys/private_dir.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
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

/* As if a killed process had left it `age` seconds ago. */
static void leave(struct private_dir *dir, int age)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = time(NULL) - age}};
    close(dir->lock_fd);
    cr_assert_eq(utimensat(AT_FDCWD, dir->path, times, 0), 0);
}

static void put_file(const struct private_dir *dir, const char *name)
{
    char path[sizeof dir->path + 32];
    snprintf(path, sizeof path, "%s/%s", dir->path, name);
    close(open(path, O_CREAT | O_WRONLY, 0600));
}

static void put_directory(const struct private_dir *dir, const char *name)
{
    char path[sizeof dir->path + 32];
    snprintf(path, sizeof path, "%s/%s", dir->path, name);
    cr_assert_eq(mkdir(path, 0700), 0);
}

static bool is_there(const struct private_dir *dir)
{
    return access(dir->path, F_OK) == 0;
}

Test(private_dir, what_a_killed_run_has_left_is_removed_by_the_next_and_nothing_else)
{
    struct private_dir killed, fresh, lives, without_owner, next;
    struct timespec old[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = time(NULL) - 100}};
    char parent[] = "/tmp/zfarm-test-XXXXXX", other[64], link_to[64], owner[sizeof killed.path + 8];
    cr_assert_not_null(mkdtemp(parent));
    unsetenv("XDG_RUNTIME_DIR");
    setenv("TMPDIR", parent, 1);
    private_dir_make(&killed, NULL);
    private_dir_make(&fresh, NULL);
    private_dir_make(&lives, NULL);
    private_dir_make(&without_owner, NULL);
    put_file(&killed, "control");
    put_directory(&killed, "keys");
    put_directory(&killed, "keys/worker");
    put_file(&killed, "keys/worker/secret.cert");
    leave(&killed, 100);
    leave(&fresh, 0);
    utimensat(AT_FDCWD, lives.path, old, 0);
    snprintf(owner, sizeof owner, "%s/owner", without_owner.path);
    unlink(owner);
    leave(&without_owner, 100);
    snprintf(other, sizeof other, "%s/zfarm-1-precious", parent);
    mkdir(other, 0700);
    snprintf(link_to, sizeof link_to, "%s/zfarm-1-ABCDEF", parent);
    cr_assert_eq(symlink(lives.path, link_to), 0);
    cr_assert_eq(private_dir_make(&next, NULL), ERR_NONE);
    cr_expect(!is_there(&killed));
    cr_expect(is_there(&fresh) && is_there(&lives) && is_there(&without_owner) && is_there(&next));
    cr_expect(access(other, F_OK) == 0 && access(link_to, F_OK) == 0);
    unlink(link_to);
    rmdir(other);
    fresh.lock_fd = without_owner.lock_fd = -1;
    struct private_dir *all[] = {&fresh, &lives, &without_owner, &next};
    for (size_t i = 0; i < 4; i++)
        private_dir_remove(all[i]);
    cr_assert_eq(rmdir(parent), 0);
}
