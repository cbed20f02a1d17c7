/* SPDX-License-Identifier: MPL-2.0 */

/* zfarm-interrupts: `zfarm run --store` is interrupted, or one of its programs is killed, run after run, each
 * time at another moment from its first instruction to its last, and must end, or go on, as it says.
 * What was interrupted is then run again, and must come to its end. `./dev interrupts` calls it. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/xalloc.h"
#include "tests/interrupts/blow.h"

enum { TASKS = 12, MARKS_SIZE = 64 << 10 };

static const char usage[] =
    "usage: zfarm-interrupts --programs DIR [OPTION]...\n"
    "  --runs N      so many runs (100)\n"
    "  --seed S      of the first run; the others count on (from the clock)\n"
    "  --limit SECS  an interrupted farm that ends later hangs (5); one whose\n"
    "                program was killed has three times as long for its job\n";

struct settings {
    const char *programs;
    uint64_t runs, seed, limit_s;
};

/* A farm that runs, and what it has said. */
struct farm {
    pid_t pid;
    int marks_fd; /* its stderr */
    char marks[MARKS_SIZE];
    size_t marks_size;
    int status; /* of waitpid */
    bool over;
};

static uint64_t now_us(void)
{
    return clock_now_ns() / NS_PER_US;
}

/* ---- one farm ---- */

static void become_farm(const struct settings *s, int marks_fd)
{
    char *program = xasprintf("%s/zfarm", s->programs);
    int null = open("/dev/null", O_RDONLY);
    dup2(null, STDIN_FILENO);
    dup2(marks_fd, STDERR_FILENO);
    setenv("ZFARM_DEBUG", "1", 1);
    signal(SIGINT, SIG_DFL); /* what is started in the background has it ignored */
    signal(SIGHUP, SIG_DFL);
    setpgid(0, 0);
    execl(program, program, "run", "-j2", "--store", "s.db", "-o", "out", "-a", "in", "--shell",
          "sleep 0.01; echo {}", (char *)NULL);
    err(2, "%s", program);
}

static void farm_begin(struct farm *f, const struct settings *s)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK))
        err(2, "pipe");
    f->marks[f->marks_size = 0] = '\0';
    f->over = false;
    f->marks_fd = fds[0];
    f->pid = fork();
    if (f->pid < 0)
        err(2, "fork");
    if (f->pid == 0)
        become_farm(s, fds[1]);
    close(fds[1]);
}

/* Takes what it says for `for_us` at most, or until something comes. */
static void farm_hear(struct farm *f, uint64_t for_us)
{
    struct pollfd item = {.fd = f->marks_fd, .events = POLLIN};
    struct timespec time = {(time_t)(for_us / 1000000), (long)(for_us % 1000000) * 1000};
    ppoll(&item, 1, &time, NULL);
    size_t room = sizeof f->marks - 1 - f->marks_size;
    ssize_t size = read(f->marks_fd, f->marks + f->marks_size, room);
    if (size > 0)
        f->marks_size += (size_t)size;
    f->marks[f->marks_size] = '\0';
    if (size == 0 && room) { /* all who had it have ended */
        struct timespec nap = {0, 1000000};
        nanosleep(&nap, NULL);
    }
    if (!f->over && waitpid(f->pid, &f->status, WNOHANG) == f->pid)
        f->over = true;
}

static bool farm_says(const struct farm *f, const char *state)
{
    char mark[64];
    snprintf(mark, sizeof mark, "state: %s\n", state);
    return strstr(f->marks, mark) != NULL;
}

static void wait_until(struct farm *f, uint64_t until_us)
{
    for (uint64_t now; !f->over && (now = now_us()) < until_us;)
        farm_hear(f, until_us - now);
}

/* Waits for the mark; false: the farm is over before. */
static bool wait_for_mark(struct farm *f, const char *state, uint64_t until_us)
{
    while (!f->over && !farm_says(f, state) && now_us() < until_us)
        farm_hear(f, 1000);
    return farm_says(f, state);
}

/* Nobody is left of it: those whose parent has ended are ours. */
static bool nobody_left(uint64_t until_us)
{
    while (now_us() < until_us) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);
        if (pid < 0 && errno == ECHILD)
            return true;
        struct timespec nap = {0, 1000000};
        if (pid == 0)
            nanosleep(&nap, NULL);
    }
    return false;
}

/* Says who is left, and in which call of the kernel each of them is. */
static void show_left(void)
{
    char *command =
        xasprintf("for p in $(cat /proc/%d/task/*/children); do tr '\\0' ' ' </proc/$p/cmdline; "
                  "echo \"(pid $p, $(cat /proc/$p/wchan), $(tail -n 1 /proc/$p/stack)\"; "
                  "ls -l /proc/$p/fd; done",
                  getpid());
    if (system(command))
        warnx("%s failed", command);
    free(command);
}

/* ---- judging ---- */

/* Which tasks the output has: false if one is there twice, or cut. */
static bool read_output(bool has[static TASKS + 1], unsigned *count)
{
    char line[64];
    FILE *file = fopen("out", "re");
    *count = 0;
    for (unsigned i = 0; i <= TASKS; i++)
        has[i] = false;
    while (file && fgets(line, sizeof line, file)) {
        unsigned long task = strtoul(line, NULL, 10);
        if (task < 1 || task > TASKS || has[task] || !strchr(line, '\n')) {
            fclose(file);
            return false;
        }
        has[task] = true;
        ++*count;
    }
    if (file)
        fclose(file);
    return true;
}

static const char *judge(const struct farm *f, const struct blow *blow, bool struck)
{
    bool has[TASKS + 1];
    unsigned count;
    if (!read_output(has, &count))
        return "a result is there twice, or is none";
    if (struck && blow->victim == VICTIM_FARM && blow->signal == SIGKILL)
        return NULL; /* what it left is what the next run goes on with */
    int killer = WIFSIGNALED(f->status) ? WTERMSIG(f->status) : 0;
    bool before_it_listened = killer && (killer == blow->signal || killer == blow->second);
    if (struck && blow->victim == VICTIM_FARM && before_it_listened)
        return count == 0 ? NULL : "it was killed by a signal that it should have obeyed";
    if (!WIFEXITED(f->status))
        return "it was killed";
    if (WEXITSTATUS(f->status) == 0)
        return count == TASKS ? NULL : "it ended with 0, and results are missing";
    if (WEXITSTATUS(f->status) != 255)
        return "it ended with a status that says nothing of this";
    return struck && blow->victim == VICTIM_FARM ? NULL : "it did not go on";
}

/* At most a cause and a summary, the debugging marks apart. */
static const char *judge_words(const struct farm *f, const struct blow *blow)
{
    unsigned lines = 0;
    for (const char *at = f->marks, *end; (end = strchr(at, '\n')); at = end + 1)
        lines += strncmp(at, "zfarm: state: ", 14) != 0;
    return blow->victim == VICTIM_FARM && lines > 2 ? "it said more than a cause and a summary"
                                                    : NULL;
}

/* ---- runs ---- */

static void make_place(uint64_t number)
{
    char name[32];
    snprintf(name, sizeof name, "run-%" PRIu64, number);
    if (mkdir(name, 0700) || chdir(name))
        err(2, "%s", name);
    setenv("TMPDIR", ".", 1);
    FILE *in = fopen("in", "we");
    for (unsigned i = 1; in && i <= TASKS; i++)
        fprintf(in, "%u\n", i);
    if (!in || fclose(in))
        err(2, "in");
}

static void leave_place(uint64_t number, bool keep)
{
    char *command = xasprintf("rm -rf run-%" PRIu64, number);
    if (chdir("..") || (!keep && system(command)))
        err(2, "%s", command);
    free(command);
}

static const char *go_on(struct farm *f, const struct settings *s)
{
    farm_begin(f, s);
    wait_until(f, now_us() + 3 * s->limit_s * 1000000);
    bool fine = f->over && WIFEXITED(f->status) && WEXITSTATUS(f->status) == 0;
    bool has[TASKS + 1];
    unsigned count;
    close(f->marks_fd);
    if (!f->over)
        return "the same command hung";
    if (!fine)
        return "the same command did not go on";
    return read_output(has, &count) && count == TASKS ? NULL
                                                      : "the same command did not do the rest";
}

/* Returns what was wrong; `*took_us`: from the blow to the end. */
static const char *strike(struct farm *f, const struct settings *s, const struct blow *blow,
                          uint64_t *took_us)
{
    uint64_t began_us = now_us();
    farm_begin(f, s);
    if (blow->state && wait_for_mark(f, blow->state, began_us + 10 * 1000000))
        began_us = now_us();
    wait_until(f, began_us + blow->after_us);
    pid_t target = f->over ? 0 : blow_target(blow, f->pid);
    bool struck = target && kill(target, blow->signal) == 0;
    uint64_t struck_us = now_us();
    if (blow->second && struck) {
        wait_until(f, struck_us + blow->second_us);
        if (!f->over)
            kill(f->pid, blow->second);
    }
    uint64_t limit_us = s->limit_s * 1000000 * (blow->victim == VICTIM_FARM ? 1 : 3);
    wait_until(f, struck_us + limit_us);
    *took_us = now_us() - struck_us;
    if (!f->over)
        return "it hung";
    farm_hear(f, 0);
    const char *wrong = judge(f, blow, struck);
    return wrong ? wrong : judge_words(f, blow);
}

static void kill_all(struct farm *f)
{
    if (!f->over) {
        kill(f->pid, SIGKILL); /* its programs follow it */
        waitpid(f->pid, NULL, 0);
    }
}

static bool run(const struct settings *s, uint64_t number, uint64_t whole_us, uint64_t *longest_us)
{
    static struct farm f;
    char words[200];
    uint64_t took_us = 0;
    struct blow blow = blow_plan(s->seed + number, whole_us);
    blow_describe(&blow, words);
    make_place(number);
    const char *wrong = strike(&f, s, &blow, &took_us);
    kill_all(&f);
    close(f.marks_fd);
    char *said = xstrdup(f.marks);
    if (!nobody_left(now_us() + s->limit_s * 1000000) && !wrong)
        wrong = "something of it was left behind", show_left();
    bool was_cut = !wrong && !(WIFEXITED(f.status) && WEXITSTATUS(f.status) == 0);
    if (was_cut && (wrong = go_on(&f, s)))
        kill_all(&f);
    nobody_left(now_us() + s->limit_s * 1000000);
    if (took_us > *longest_us)
        *longest_us = took_us;
    if (wrong)
        printf("seed %" PRIu64 ": %s: %s, after %.2f s\n%s%s", s->seed + number, words, wrong,
               (double)took_us / 1e6, said, was_cut ? f.marks : "");
    fflush(stdout);
    free(said);
    leave_place(number, wrong);
    return !wrong;
}

/* How long a farm takes that nobody disturbs. */
static uint64_t measure(const struct settings *s)
{
    static struct farm f;
    uint64_t longest_us = 0;
    for (unsigned i = 0; i < 3; i++) {
        make_place(i);
        uint64_t began_us = now_us();
        farm_begin(&f, s);
        wait_until(&f, began_us + 60 * 1000000);
        if (!f.over || !WIFEXITED(f.status) || WEXITSTATUS(f.status) != 0)
            errx(2, "a farm that nobody disturbs does not work:\n%s", f.marks);
        uint64_t took_us = now_us() - began_us;
        close(f.marks_fd);
        nobody_left(now_us() + 1000000);
        leave_place(i, false);
        longest_us = took_us > longest_us ? took_us : longest_us;
    }
    return longest_us;
}

static void take_options(struct settings *s, int argc, char **argv)
{
    static const struct option options[] = {{"programs", required_argument, NULL, 'p'},
                                            {"runs", required_argument, NULL, 'r'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"limit", required_argument, NULL, 'l'},
                                            {0}};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
        switch (option) {
        case 'p':
            s->programs = optarg;
            break;
        case 'r':
            s->runs = strtoull(optarg, NULL, 10);
            break;
        case 's':
            s->seed = strtoull(optarg, NULL, 10);
            break;
        case 'l':
            s->limit_s = strtoull(optarg, NULL, 10);
            break;
        default:
            fputs(usage, stderr);
            exit(255);
        }
    if (!s->programs) {
        fputs(usage, stderr);
        exit(255);
    }
}

int main(int argc, char **argv)
{
    struct settings s = {.runs = 100, .seed = clock_realtime_us(), .limit_s = 5};
    take_options(&s, argc, argv);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    uint64_t whole_us = measure(&s), longest_us = 0, wrong = 0;
    printf("undisturbed: %.0f ms; seeds from %" PRIu64 "\n", (double)whole_us / 1000, s.seed);
    for (uint64_t i = 0; i < s.runs; i++)
        wrong += !run(&s, i, whole_us, &longest_us);
    printf("%" PRIu64 " runs, %" PRIu64 " wrong; the longest took %.2f s from the blow\n", s.runs,
           wrong, (double)longest_us / 1e6);
    return wrong > 0;
}
