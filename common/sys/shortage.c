/* SPDX-License-Identifier: MPL-2.0 */
#include "common/sys/shortage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STANDARD = 3, THREADS_MOST = 8 };

static bool was_closed[STANDARD];

/* What does not stand here stays as it is. */
static const struct {
    int number;
    enum cause causes[TRIED_FILE + 1]; /* of a start, a socket, a file */
} rows[] = {
    {EAGAIN, {CAUSE_PASSES, CAUSE_PASSES, CAUSE_PASSES}},
    {ENOMEM, {CAUSE_PASSES, CAUSE_PASSES, CAUSE_PASSES}},
    {EMFILE, {CAUSE_PASSES, CAUSE_PASSES, CAUSE_PASSES}},
    {ENFILE, {CAUSE_PASSES, CAUSE_PASSES, CAUSE_PASSES}},
    {ENOBUFS, {CAUSE_FOR_EVER, CAUSE_PASSES, CAUSE_FOR_EVER}},
    {EADDRNOTAVAIL, {CAUSE_FOR_EVER, CAUSE_PASSES, CAUSE_FOR_EVER}},
    {ENOSPC, {CAUSE_FOR_EVER, CAUSE_FOR_EVER, CAUSE_PASSES}},
    {EDQUOT, {CAUSE_FOR_EVER, CAUSE_FOR_EVER, CAUSE_PASSES}},
    {ETXTBSY, {CAUSE_TASK, CAUSE_FOR_EVER, CAUSE_FOR_EVER}},
    {E2BIG, {CAUSE_TASK, CAUSE_FOR_EVER, CAUSE_FOR_EVER}},
    {ENOENT, {CAUSE_TASK, CAUSE_FOR_EVER, CAUSE_FOR_EVER}},
    {EACCES, {CAUSE_TASK, CAUSE_FOR_EVER, CAUSE_FOR_EVER}},
    {EPERM, {CAUSE_TASK, CAUSE_FOR_EVER, CAUSE_FOR_EVER}},
    {ENOTDIR, {CAUSE_TASK, CAUSE_FOR_EVER, CAUSE_FOR_EVER}},
    {EISDIR, {CAUSE_TASK, CAUSE_FOR_EVER, CAUSE_FOR_EVER}},
    {ELOOP, {CAUSE_TASK, CAUSE_FOR_EVER, CAUSE_FOR_EVER}},
    {ENAMETOOLONG, {CAUSE_TASK, CAUSE_FOR_EVER, CAUSE_FOR_EVER}},
    {ENOEXEC, {CAUSE_TASK, CAUSE_FOR_EVER, CAUSE_FOR_EVER}},
    {ELIBBAD, {CAUSE_TASK, CAUSE_FOR_EVER, CAUSE_FOR_EVER}},
    {EIO, {CAUSE_TASK, CAUSE_FOR_EVER, CAUSE_PASSES}},
    {EFBIG, {CAUSE_TASK, CAUSE_FOR_EVER, CAUSE_TASK}},
};

enum cause shortage_cause(enum tried tried, int number)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].number == number)
            return rows[i].causes[tried];
    return CAUSE_FOR_EVER;
}

enum error shortage_error(enum tried tried, int number)
{
    if (shortage_cause(tried, number) == CAUSE_FOR_EVER)
        return ERR_IO;
    return tried == TRIED_FILE ? ERR_DISK_FULL : ERR_LIMIT;
}

enum error shortage_fail(struct why *why, enum tried tried, int number)
{
    return fail(why, shortage_error(tried, number), "%s%s", strerror(number),
                shortage_advice(number));
}

const char *shortage_advice(int number)
{
    switch (number) {
    case EMFILE:
        return "; ulimit -n raises the limit";
    case EAGAIN:
        return "; ulimit -u, or the pids of its container, is the limit of processes";
    case ENFILE:
        return "; the whole system has no more (fs.file-max)";
    default:
        return "";
    }
}

void shortage_open_standard(void)
{
    for (int fd = 0; fd < STANDARD; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) {
            was_closed[fd] = true;
            int ignored =
                open("/dev/null", O_RDWR); /* takes the lowest number, which is this one */
            (void)ignored;
        }
}

bool shortage_was_closed(int descriptor)
{
    return was_closed[descriptor];
}

static void *end_at_once(void *unused)
{
    return unused;
}

/* All of them at a time, as they will be. */
static int try_threads(unsigned count)
{
    pthread_t threads[THREADS_MOST];
    unsigned made = 0;
    int error = 0;
    while (made < count && made < THREADS_MOST &&
           (error = pthread_create(&threads[made], NULL, end_at_once, NULL)) == 0)
        made++;
    while (made > 0)
        pthread_join(threads[--made], NULL);
    return error;
}

enum error shortage_check(size_t descriptors, unsigned threads, struct why *why)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max < descriptors)
        return fail(why, ERR_LIMIT,
                    "at most %llu open files are allowed here, and this takes %zu: raise the limit "
                    "(ulimit -n)",
                    (unsigned long long)limit.rlim_max, descriptors);
    int error = try_threads(threads);
    if (error)
        return fail(why, ERR_LIMIT, "cannot make a thread: %s%s", strerror(error),
                    shortage_advice(error));
    return ERR_NONE;
}

/* The threads of a process of ours. */
static unsigned threads_of(int proc, const char *name)
{
    char path[300];
    unsigned count = 0;
    struct stat status;
    if (fstatat(proc, name, &status, 0) || status.st_uid != getuid())
        return 0;
    snprintf(path, sizeof path, "/proc/%s/task", name);
    DIR *tasks = opendir(path);
    while (tasks && readdir(tasks))
        count++;
    if (tasks)
        closedir(tasks);
    return count > 2 ? count - 2 : 0; /* . and .. */
}

uint32_t shortage_processes(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NPROC, &limit) || limit.rlim_cur >= UINT32_MAX || getuid() == 0)
        return UINT32_MAX;
    DIR *proc = opendir("/proc");
    uint64_t used = 0;
    for (struct dirent *entry; proc && (entry = readdir(proc));)
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
            used += threads_of(dirfd(proc), entry->d_name);
    if (proc)
        closedir(proc);
    return limit.rlim_cur > used ? (uint32_t)(limit.rlim_cur - used) : 0;
}
