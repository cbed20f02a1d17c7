/* SPDX-License-Identifier: MPL-2.0 */
#include "common/sys/shortage.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

TestSuite(shortage, .timeout = 60);

Test(shortage, an_error_passes_or_is_the_tasks_or_is_for_ever_by_what_was_tried)
{
    cr_assert_eq(shortage_cause(TRIED_START, EAGAIN), CAUSE_PASSES);
    cr_assert_eq(shortage_cause(TRIED_START, EMFILE), CAUSE_PASSES);
    cr_assert_eq(shortage_cause(TRIED_START, ENOENT), CAUSE_TASK);
    cr_assert_eq(shortage_cause(TRIED_START, ETXTBSY), CAUSE_TASK);
    cr_assert_eq(shortage_cause(TRIED_START, ENOSYS), CAUSE_FOR_EVER);
    cr_assert_eq(shortage_cause(TRIED_FILE, ENOSPC), CAUSE_PASSES);
    cr_assert_eq(shortage_cause(TRIED_FILE, ENOENT), CAUSE_FOR_EVER);
    cr_assert_eq(shortage_cause(TRIED_SOCKET, EMFILE), CAUSE_PASSES);
    cr_assert_eq(shortage_cause(TRIED_SOCKET, EPROTONOSUPPORT), CAUSE_FOR_EVER);
}

Test(shortage, an_errno_becomes_the_error_that_says_whether_another_try_may_do)
{
    cr_assert_eq(shortage_error(TRIED_FILE, ENOSPC), ERR_DISK_FULL);
    cr_assert_eq(shortage_error(TRIED_FILE, EFBIG), ERR_DISK_FULL);
    cr_assert_eq(shortage_error(TRIED_FILE, EMFILE), ERR_DISK_FULL);
    cr_assert_eq(shortage_error(TRIED_FILE, EIO), ERR_DISK_FULL);
    cr_assert_eq(shortage_error(TRIED_FILE, EACCES), ERR_IO);
    cr_assert_eq(shortage_error(TRIED_SOCKET, EMFILE), ERR_LIMIT);
    cr_assert_eq(shortage_error(TRIED_SOCKET, EINVAL), ERR_IO);
    cr_assert_eq(shortage_error(TRIED_START, EAGAIN), ERR_LIMIT);
}

Test(shortage, closed_standard_descriptors_become_the_null_device)
{
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    shortage_open_standard();
    char byte;
    cr_assert_eq(read(STDIN_FILENO, &byte, 1), 0);
    cr_assert_eq(write(STDOUT_FILENO, "x", 1), 1);
    cr_assert(shortage_was_closed(STDOUT_FILENO));
    cr_assert_not(shortage_was_closed(STDERR_FILENO));
}

Test(shortage, too_few_descriptors_are_told_of_before_anything_begins)
{
    struct why why;
    struct rlimit limit = {.rlim_cur = 40, .rlim_max = 40};
    cr_assert_eq(shortage_check(SHORTAGE_DESCRIPTORS_LEAST, 2, &why), ERR_NONE);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_assert_eq(shortage_check(SHORTAGE_DESCRIPTORS_LEAST, 2, &why), ERR_LIMIT);
    cr_assert(strstr(why.text, "ulimit -n"), "%s", why.text);
}
