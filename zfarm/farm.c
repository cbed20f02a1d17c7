/* SPDX-License-Identifier: MPL-2.0 */
#include "zfarm/farm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/private_dir.h"
#include "common/signals.h"
#include "common/xalloc.h"
#include "zfarm/process.h"

/* Once the sink has ended, the others end by themselves; after this long they are helped. */
#define END_NS (5 * NS_PER_S)
#define KILL_NS (2 * NS_PER_S)
#define RESTART_FIRST_NS (100 * NS_PER_MS)
#define RESTART_MAX_NS (5 * NS_PER_S)
/* A worker that has lived so long is started again without delay next time. */
#define RESTART_CALM_NS (10 * NS_PER_S)

/* Who was started last, and has not said that it is ready. */
enum stage { STARTING_VENTILATOR, STARTING_WORKER, STARTED };

struct farm {
    const struct farm_arguments *arguments;
    struct private_dir dir;
    int signals_fd;
    enum stage stage;
    int ready_fd; /* of who is being started; -1: nobody is waited for */
    struct process ventilator, worker, sink;
    bool worker_wanted;
    uint64_t worker_started_ns;
    uint64_t worker_due_ns;   /* start it (again) then; NEVER: it runs, or is not to */
    uint64_t worker_delay_ns; /* the last one */
    unsigned interrupts;
    bool sink_ended;
    uint64_t end_by_ns; /* TERM to whoever is left then, KILL_NS later KILL */
    int status;
};

/* ---- starting ---- */

static enum error start(struct farm *f, struct process *process, const char *name,
                        const struct words *arguments, const char *const *endpoints,
                        const struct process_io *io, struct why *why)
{
    struct words argv = {0};
    char *path;
    enum error error = process_find(name, &path, why);
    if (error)
        return error;
    words_take(&argv, path);
    for (; endpoints[0]; endpoints += 2)
        words_take(&argv, xasprintf("--%s=ipc://%s/%s", endpoints[0], f->dir.path, endpoints[1]));
    words_take(&argv, xasprintf("--parent=%d", (int)getpid()));
    if (io->ready_fd >= 0)
        words_add(&argv, "--ready-fd=3");
    if (arguments->count)
        words_add_all(&argv, arguments->items);
    error = process_start(process, name, &argv, io, why);
    words_free(&argv);
    return error;
}

/* Makes the pipe on which the next one says that it is ready; the writing end is the caller's. */
static enum error open_ready(struct farm *f, int *writer, struct why *why)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC))
        return fail(why, ERR_IO, "cannot make a pipe: %s", strerror(errno));
    /* Descriptor 3 in the child must be a copy: dup2 onto itself would leave it close-on-exec. */
    *writer = fcntl(fds[1], F_DUPFD_CLOEXEC, 10);
    close(fds[1]);
    f->ready_fd = fds[0];
    return ERR_NONE;
}

static enum error start_ventilator(struct farm *f, struct why *why)
{
    static const char *const endpoints[] = {"bind", "control", "lanes", "gate", NULL};
    /* On a terminal it has to stay in the foreground group, or its reads would stop it. */
    struct process_io io = {.has_stdin = true, .same_group = isatty(STDIN_FILENO)};
    enum error error = open_ready(f, &io.ready_fd, why);
    if (error)
        return error;
    error = start(f, &f->ventilator, "ventilator", &f->arguments->ventilator, endpoints, &io, why);
    close(io.ready_fd);
    return error;
}

static enum error start_sink(struct farm *f, struct why *why)
{
    static const char *const endpoints[] = {"connect", "control", "bind", "results", NULL};
    struct process_io io = {.has_stdout = true, .ready_fd = -1};
    return start(f, &f->sink, "sink", &f->arguments->sink, endpoints, &io, why);
}

static enum error start_worker(struct farm *f, uint64_t now_ns, struct why *why)
{
    static const char *const endpoints[] = {"connect", "control", NULL};
    struct process_io io = {.ready_fd = -1};
    f->worker_started_ns = now_ns;
    f->worker_due_ns = NEVER;
    enum error error = f->stage < STARTED ? open_ready(f, &io.ready_fd, why) : ERR_NONE;
    if (error)
        return error;
    error = start(f, &f->worker, "worker", &f->arguments->worker, endpoints, &io, why);
    if (io.ready_fd >= 0)
        close(io.ready_fd);
    return error;
}

/* ---- ending ---- */

static void interrupt_all(struct farm *f)
{
    /* Two different signals, since two equal ones may arrive as one: the programs end at once. */
    struct process *all[] = {&f->worker, &f->ventilator, &f->sink};
    for (size_t i = 0; i < 3; i++) {
        process_signal(all[i], SIGTERM);
        process_signal(all[i], SIGINT);
    }
}

/* The job cannot go on: what was done is summed up by the sink, the rest is not run. */
static void stop_job(struct farm *f, uint64_t now_ns)
{
    f->status = 255;
    f->worker_wanted = false;
    f->worker_due_ns = NEVER;
    process_signal(&f->ventilator, SIGTERM);
    if (f->end_by_ns == NEVER)
        f->end_by_ns = now_ns + END_NS;
}

static void on_signal(struct farm *f, const struct signalfd_siginfo *info, uint64_t now_ns)
{
    if (info->ssi_signo == SIGHUP)
        return;
    f->status = 255;
    if (f->interrupts++ == 0) {
        /* A key on the terminal has reached a ventilator in our group already. */
        bool shared = info->ssi_code == SI_KERNEL && isatty(STDIN_FILENO);
        if (!shared)
            process_signal(&f->ventilator, SIGTERM);
        if (!f->ventilator.pid)
            interrupt_all(f);
    } else {
        interrupt_all(f);
        f->end_by_ns = now_ns;
    }
}

static void worker_ended(struct farm *f, int status, uint64_t now_ns)
{
    if (!f->worker_wanted || f->sink_ended)
        return;
    if (WIFEXITED(status) && f->stage < STARTED) {
        f->status = 255;
        f->worker_wanted = false;
        process_signal(&f->ventilator, SIGNAL_END_NOW);
        return;
    }
    if (WIFEXITED(status)) {
        if (WEXITSTATUS(status) != 0)
            stop_job(f, now_ns);
        return;
    }
    bool calm = now_ns - f->worker_started_ns > RESTART_CALM_NS;
    f->worker_delay_ns = calm || !f->worker_delay_ns ? RESTART_FIRST_NS : f->worker_delay_ns * 2;
    if (f->worker_delay_ns > RESTART_MAX_NS)
        f->worker_delay_ns = RESTART_MAX_NS;
    f->worker_due_ns = now_ns + f->worker_delay_ns;
    log_line("the worker was killed by signal %d; another one is started", WTERMSIG(status));
}

static void sink_ended(struct farm *f, int status, uint64_t now_ns)
{
    f->sink_ended = true;
    f->worker_wanted = false;
    f->worker_due_ns = NEVER;
    if (WIFSIGNALED(status))
        log_line("the sink was killed by signal %d, and what it had not written is lost; run it "
                 "again",
                 WTERMSIG(status));
    int ended = WIFEXITED(status) ? WEXITSTATUS(status) : 255;
    if (f->status == 0)
        f->status = ended;
    f->end_by_ns = now_ns + (ended == 255 && !f->interrupts ? 0 : END_NS);
}

static void ventilator_ended(struct farm *f, int status, uint64_t now_ns)
{
    process_signal(&f->worker, SIGTERM); /* if it came too late to be told that the job is over */
    if (f->sink_ended)
        return;
    if (WIFSIGNALED(status))
        log_line("the ventilator was killed by signal %d; run it again", WTERMSIG(status));
    /* After its goodbye the sink is about to end; otherwise nobody would tell it that all is over.
     */
    bool failed = WIFSIGNALED(status) || WEXITSTATUS(status) == 255;
    if (failed) {
        f->status = 255;
        f->worker_wanted = false;
        f->end_by_ns = now_ns + (WIFSIGNALED(status) ? 0 : NS_PER_S);
    }
}

static void reap(struct farm *f, uint64_t now_ns)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        if (pid == f->worker.pid) {
            f->worker.pid = 0;
            worker_ended(f, status, now_ns);
        } else if (pid == f->sink.pid) {
            f->sink.pid = 0;
            sink_ended(f, status, now_ns);
        } else if (pid == f->ventilator.pid) {
            f->ventilator.pid = 0;
            ventilator_ended(f, status, now_ns);
        }
    }
}

static void press_on(struct farm *f, uint64_t now_ns)
{
    if (now_ns < f->end_by_ns)
        return;
    if (now_ns < f->end_by_ns + KILL_NS) {
        interrupt_all(f);
        f->end_by_ns = now_ns - KILL_NS; /* next time: KILL, after a wait */
        return;
    }
    struct process *all[] = {&f->worker, &f->ventilator, &f->sink};
    for (size_t i = 0; i < 3; i++)
        process_signal(all[i], SIGKILL);
}

/* ---- the loop ---- */

static bool anybody_left(const struct farm *f)
{
    return f->ventilator.pid || f->worker.pid || f->sink.pid || f->worker_due_ns != NEVER;
}

/* Starts the next one, or knows that the farm stands. */
static enum error start_next(struct farm *f, uint64_t now_ns, struct why *why)
{
    if (f->stage++ == STARTING_WORKER)
        return start_sink(f, why);
    f->worker_wanted = true;
    return start_worker(f, now_ns, why);
}

static void on_ready(struct farm *f, uint64_t now_ns)
{
    char letter;
    bool ready = read(f->ready_fd, &letter, 1) == 1;
    close(f->ready_fd);
    f->ready_fd = -1;
    if (!ready || f->interrupts || !f->ventilator.pid)
        return; /* it has ended, or is about to: that says the rest */
    struct why why;
    if (start_next(f, now_ns, &why)) {
        log_line("%s", why.text);
        stop_job(f, now_ns);
    }
}

static void restart_worker(struct farm *f, uint64_t now_ns)
{
    struct why why;
    if (now_ns >= f->worker_due_ns && start_worker(f, now_ns, &why)) {
        log_line("%s", why.text);
        stop_job(f, now_ns);
    }
}

static int timeout_ms(const struct farm *f, uint64_t now_ns)
{
    uint64_t due_ns = f->worker_due_ns;
    if (f->end_by_ns != NEVER) {
        uint64_t next_ns = f->end_by_ns > now_ns ? f->end_by_ns : now_ns + KILL_NS;
        due_ns = next_ns < due_ns ? next_ns : due_ns;
    }
    if (due_ns == NEVER)
        return -1;
    return due_ns <= now_ns ? 0 : (int)((due_ns - now_ns) / NS_PER_MS + 1);
}

static void loop(struct farm *f)
{
    while (anybody_left(f)) {
        struct pollfd items[] = {{.fd = f->signals_fd, .events = POLLIN},
                                 {.fd = f->ready_fd, .events = POLLIN}};
        poll(items, f->ready_fd >= 0 ? 2 : 1, timeout_ms(f, clock_now_ns()));
        uint64_t now_ns = clock_now_ns();
        struct signalfd_siginfo info;
        while (read(f->signals_fd, &info, sizeof info) == sizeof info)
            if (info.ssi_signo != SIGCHLD)
                on_signal(f, &info, now_ns);
        reap(f, now_ns);
        if (f->ready_fd >= 0 && items[1].revents)
            on_ready(f, now_ns);
        restart_worker(f, now_ns);
        press_on(f, now_ns);
    }
}

static enum error open_signals(struct farm *f, struct why *why)
{
    sigset_t set;
    sigemptyset(&set);
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigaddset(&set, numbers[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    f->signals_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (f->signals_fd < 0)
        return fail(why, ERR_IO, "cannot watch signals: %s", strerror(errno));
    return ERR_NONE;
}

int farm_run(const struct farm_arguments *arguments)
{
    struct farm f = {
        .arguments = arguments, .ready_fd = -1, .worker_due_ns = NEVER, .end_by_ns = NEVER};
    struct why why;
    enum error error = open_signals(&f, &why);
    error = error ? error : private_dir_make(&f.dir, &why);
    error = error ? error : start_ventilator(&f, &why);
    if (error) {
        log_line("%s", why.text);
        f.status = 255;
    }
    loop(&f);
    private_dir_remove(&f.dir);
    return f.sink_ended || f.status ? f.status : 255;
}
