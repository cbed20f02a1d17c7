/* SPDX-License-Identifier: MPL-2.0 */

/* measure FILE COMMAND [ARG...]
 *
 * Runs COMMAND and writes into FILE the seconds until it ended, and the largest resident size, in
 * KiB, of any one process among it and what it waited for. Ends as COMMAND did, 128 + N for signal
 * N. */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int complain(const char *what, int error)
{
    fprintf(stderr, "measure: %s: %s\n", what, strerror(error));
    return 125;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: measure FILE COMMAND [ARG...]\n");
        return 125;
    }
    FILE *figures = fopen(argv[1], "we");
    if (!figures)
        return complain(argv[1], errno);
    pid_t pid;
    int status;
    struct rusage usage;
    double begin_s = now_s();
    int error = posix_spawnp(&pid, argv[2], NULL, NULL, argv + 2, environ);
    if (error)
        return complain(argv[2], error);
    if (wait4(pid, &status, 0, &usage) < 0)
        return complain("wait4", errno);
    fprintf(figures, "%.6f %ld\n", now_s() - begin_s, usage.ru_maxrss);
    if (fclose(figures))
        return complain(argv[1], errno);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
