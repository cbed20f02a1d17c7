/* SPDX-License-Identifier: MPL-2.0 */

/* processes FILE COMMAND [ARG...]
 *
 * Runs COMMAND and follows it and whatever it starts: each is stopped for a moment when it ends, to
 * see what it took. Writes into FILE a line for each, in the order of their ends: seconds of
 * processor time (without its children's), largest resident size in KiB, command line. The first
 * line of all is that of COMMAND as `measure` writes it: seconds by the clock, and the largest size
 * among all. Ends as COMMAND did, 128 + N for signal N, 125 if it could not. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { FAILED = 125 };

struct account {
    char *lines; /* one for each that has ended */
    size_t size;
    FILE *stream; /* writes them */
    long largest_kib;
};

static void die(const char *what)
{
    fprintf(stderr, "processes: %s: %s\n", what, strerror(errno));
    exit(FAILED);
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* As much as fits, as a string; returns its size. */
static size_t read_proc(pid_t pid, const char *name, char *text, size_t room)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    FILE *file = fopen(path, "re");
    if (!file)
        die(path);
    size_t size = fread(text, 1, room - 1, file);
    fclose(file);
    text[size] = '\0';
    return size;
}

/* Of all its threads, those that have ended among them. */
static double cpu_s(pid_t pid)
{
    clockid_t clock;
    struct timespec used;
    if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &used))
        die("the processor time of a process");
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

static long largest_kib(pid_t pid)
{
    char text[4096];
    read_proc(pid, "status", text, sizeof text);
    const char *line = strstr(text, "\nVmHWM:");
    return line ? strtol(line + strlen("\nVmHWM:"), NULL, 10) : 0;
}

static void account_for(struct account *account, pid_t pid)
{
    char words[512];
    size_t size = read_proc(pid, "cmdline", words, sizeof words);
    for (size_t i = 0; i + 1 < size; i++)
        if (words[i] == '\0' || words[i] == '\n')
            words[i] = ' ';
    long kib = largest_kib(pid);
    fprintf(account->stream, "%.6f %ld %s\n", cpu_s(pid), kib, words);
    if (kib > account->largest_kib)
        account->largest_kib = kib;
}

static pid_t start(char **argv)
{
    const long follow = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXIT |
                        PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
    int status;
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (!pid) {
        raise(SIGSTOP); /* until it is followed */
        execvp(argv[0], argv);
        die(argv[0]);
    }
    if (waitpid(pid, &status, WUNTRACED) < 0 || ptrace(PTRACE_SEIZE, pid, NULL, follow))
        die("cannot follow a process");
    kill(pid, SIGCONT);
    return pid;
}

/* It has stopped: lets it go on, with its signal if that is why. */
static void resume(pid_t pid, int status)
{
    int event = status >> 16, signal = WSTOPSIG(status);
    bool stays = event == PTRACE_EVENT_STOP && signal != SIGTRAP && signal != SIGCONT;
    if (stays)
        ptrace(PTRACE_LISTEN, pid, NULL, 0);
    else
        ptrace(PTRACE_CONT, pid, NULL, event ? 0 : signal);
}

/* Returns the status with which the first ended, when all have. */
static int follow(struct account *account, pid_t first)
{
    int status, result = 0;
    for (pid_t pid; (pid = waitpid(-1, &status, __WALL)) > 0;) {
        if (!WIFSTOPPED(status)) {
            result = pid == first ? status : result;
            continue;
        }
        if (status >> 16 == PTRACE_EVENT_EXIT)
            account_for(account, pid);
        resume(pid, status);
    }
    return result;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: processes FILE COMMAND [ARG...]\n");
        return FAILED;
    }
    FILE *file = fopen(argv[1], "we");
    struct account account = {0};
    account.stream = open_memstream(&account.lines, &account.size);
    if (!file || !account.stream)
        die(argv[1]);
    double begin_s = now_s();
    int status = follow(&account, start(argv + 2));
    fclose(account.stream);
    fprintf(file, "%.6f %ld\n%s", now_s() - begin_s, account.largest_kib, account.lines);
    free(account.lines);
    if (fclose(file))
        die(argv[1]);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
