/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/chaos/farm.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/xalloc.h"

static bool is_free(unsigned port)
{
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is = fd >= 0 && bind(fd, (struct sockaddr *)&place, sizeof place) == 0;
    close(fd);
    return is;
}

/* The first of three ports in a row, outside the range of outgoing connections. */
static unsigned free_ports(uint64_t chance)
{
    for (unsigned tries = 0; tries < 1000; tries++) {
        unsigned port = 10000 + (unsigned)((chance + tries * 7) % 20000);
        if (is_free(port) && is_free(port + 1) && is_free(port + 2))
            return port;
    }
    errx(2, "found no three free ports in a row");
}

static void add(struct member *member, char *word)
{
    size_t at = 0;
    while (member->argv[at])
        at++;
    member->argv[at] = word;
}

static void add_words(struct member *member, const char *const *words)
{
    for (; *words; words++)
        add(member, xstrdup(*words));
}

static void worker_command(struct member *member, const struct farm_options *o, const char *control)
{
    add(member, xasprintf("%s/zfarm-worker", o->programs));
    add_words(member, (const char *const[]){"--connect", control, "--name", member->name, "-j2",
                                            "--plugin", o->plugin, "effects", NULL});
    add(member, xasprintf("%" PRIu64, o->task_us));
    add(member, xasprintf("%" PRIu64, o->fail_every));
}

void farm_init(struct farm *farm, const struct farm_options *o, uint64_t chance)
{
    static const char *const names[ROLES] = {"ventilator", "sink", "worker-one", "worker-two"};
    unsigned port = free_ports(chance);
    char *control = xasprintf("tcp://127.0.0.1:%u", port);
    char *results = xasprintf("tcp://127.0.0.1:%u", port + 2);
    *farm = (struct farm){0};
    for (int role = 0; role < ROLES; role++)
        farm->members[role].name = names[role];
    struct member *ventilator = &farm->members[VENTILATOR], *sink = &farm->members[SINK];
    add(ventilator, xasprintf("%s/zfarm-ventilator", o->programs));
    add_words(ventilator, (const char *const[]){"--bind", control, "-a", "tasks", NULL});
    add(sink, xasprintf("%s/zfarm-sink", o->programs));
    add_words(sink,
              (const char *const[]){"--connect", control, "--bind", results, "--store", "farm.db",
                                    "-o", "out", o->keep_order ? "-k" : NULL, NULL});
    worker_command(&farm->members[WORKER_ONE], o, control);
    worker_command(&farm->members[WORKER_TWO], o, control);
    free(control);
    free(results);
}

void farm_free(struct farm *farm)
{
    for (int role = 0; role < ROLES; role++)
        for (char **word = farm->members[role].argv; *word; word++)
            free(*word);
}

static void become(const struct member *member, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    char *file = xasprintf("%s.err", member->name);
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int out = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
        _exit(127);
    execv(member->argv[0], member->argv);
    _exit(127);
}

void farm_start(struct farm *farm, enum role role)
{
    struct member *member = &farm->members[role];
    pid_t parent = getpid(), pid = fork();
    if (pid < 0)
        err(2, "cannot start a process");
    if (pid == 0)
        become(member, parent);
    member->pid = pid;
    member->lives++;
}

void farm_kill(struct farm *farm, enum role role)
{
    pid_t pid = farm->members[role].pid;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

void farm_signal(struct farm *farm, enum role role, int number, bool with_children)
{
    pid_t pid = farm->members[role].pid;
    kill(pid, number);
    if (!with_children)
        return;
    char *path = xasprintf("/proc/%d/task/%d/children", pid, pid);
    FILE *children = fopen(path, "re");
    for (int child; children && fscanf(children, "%d", &child) == 1;)
        kill(child, number);
    if (children)
        fclose(children);
    free(path);
}

void farm_reap(struct farm *farm)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        for (int role = 0; role < ROLES; role++)
            if (farm->members[role].pid == pid) {
                farm->members[role].pid = 0;
                farm->members[role].status = status;
                farm->members[role].ended_ns = clock_now_ns();
            }
}

bool farm_has_ended(const struct farm *farm, enum role role)
{
    return farm->members[role].lives && !farm->members[role].pid;
}

int farm_status(const struct farm *farm, enum role role)
{
    int status = farm->members[role].status;
    return WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Children of ours that are not members are orphans of those. */
static size_t signal_children(int number)
{
    size_t count = 0;
    char *path = xasprintf("/proc/self/task/%d/children", getpid());
    FILE *children = fopen(path, "re");
    for (int child; children && fscanf(children, "%d", &child) == 1; count++)
        kill(child, number);
    if (children)
        fclose(children);
    free(path);
    return count;
}

size_t farm_kill_all(struct farm *farm)
{
    size_t count = 0, now;
    while ((now = signal_children(SIGKILL)) > 0) {
        count = count ? count : now;
        usleep(10000);
        farm_reap(farm);
    }
    return count;
}

bool farm_is_gone(struct farm *farm)
{
    farm_reap(farm);
    return waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD;
}
