/* SPDX-License-Identifier: MPL-2.0 */

/* round_trips FILE COUNT PAUSE_US COMMAND [ARG...]
 *
 * Gives COMMAND one number at a time on its standard input, and waits until twice that number can be
 * read from its standard output. After each it pauses, so that COMMAND is idle again. Writes into
 * FILE, in microseconds, the time that half of COUNT round trips took at most, 90 and 99 of a
 * hundred, and the longest. Ends as COMMAND did, with 125 if it could not, or if a result is
 * wrong. */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WARM_UP = 100, FAILED = 125 };

struct pipes {
    int in;  /* we write, COMMAND reads */
    int out; /* COMMAND writes, we read */
};

static void die(const char *what, int error)
{
    fprintf(stderr, "round_trips: %s: %s\n", what, strerror(error));
    exit(FAILED);
}

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static pid_t start(char **argv, struct pipes *pipes)
{
    int in[2], out[2];
    if (pipe(in) || pipe(out))
        die("pipe", errno);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    int all[] = {in[0], in[1], out[0], out[1]};
    for (int i = 0; i < 4; i++)
        posix_spawn_file_actions_addclose(&actions, all[i]);
    pid_t pid;
    int error = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
    if (error)
        die(argv[0], error);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    *pipes = (struct pipes){in[1], out[0]};
    return pid;
}

static void read_line(int fd, char *line, size_t room)
{
    for (size_t size = 0; size + 1 < room;) {
        ssize_t got = read(fd, line + size, room - 1 - size);
        if (got < 0)
            die("its output", errno);
        size += (size_t)got;
        line[size] = '\0';
        if (!got || line[size - 1] == '\n')
            return;
    }
}

static double round_trip(const struct pipes *pipes, long number)
{
    char task[32], result[32], expected[32];
    int size = snprintf(task, sizeof task, "%ld\n", number);
    snprintf(expected, sizeof expected, "%ld\n", number * 2);
    double begin_us = now_us();
    if (write(pipes->in, task, (size_t)size) != size)
        die("its input", errno);
    read_line(pipes->out, result, sizeof result);
    double took_us = now_us() - begin_us;
    if (strcmp(result, expected)) {
        fprintf(stderr, "round_trips: the result of %ld is %s\n", number, result);
        exit(FAILED);
    }
    return took_us;
}

static int compare(const void *a, const void *b)
{
    const double *left = a, *right = b;
    return (*left > *right) - (*left < *right);
}

static void write_figures(FILE *file, double *took_us, long count)
{
    qsort(took_us, (size_t)count, sizeof *took_us, compare);
    fprintf(file, "%.1f %.1f %.1f %.1f\n", took_us[(count - 1) * 50 / 100],
            took_us[(count - 1) * 90 / 100], took_us[(count - 1) * 99 / 100], took_us[count - 1]);
    if (fclose(file))
        die("the figures", errno);
}

int main(int argc, char **argv)
{
    long count = argc > 4 ? atol(argv[2]) : 0, pause_us = argc > 4 ? atol(argv[3]) : 0;
    if (count < 1 || pause_us < 0 || pause_us > 999999) {
        fprintf(stderr, "usage: round_trips FILE COUNT PAUSE_US COMMAND [ARG...]\n");
        return FAILED;
    }
    FILE *file = fopen(argv[1], "we");
    double *took_us = calloc((size_t)count, sizeof *took_us);
    if (!file || !took_us)
        die(argv[1], errno);
    signal(SIGPIPE, SIG_IGN);
    struct pipes pipes;
    pid_t pid = start(argv + 4, &pipes);
    for (long at = -WARM_UP; at < count; at++) {
        double took = round_trip(&pipes, at + WARM_UP + 1);
        if (at >= 0)
            took_us[at] = took;
        nanosleep(&(struct timespec){0, pause_us * 1000}, NULL);
    }
    close(pipes.in);
    write_figures(file, took_us, count);
    free(took_us);
    int status;
    if (waitpid(pid, &status, 0) < 0)
        die("waitpid", errno);
    return WIFEXITED(status) ? WEXITSTATUS(status) : FAILED;
}
