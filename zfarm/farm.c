/* SPDX-License-Identifier: MPL-2.0 */
#include "zfarm/farm.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
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
#include "zfarm/keys.h"
#include "zfarm/process.h"

/* Once the sink has ended, the others end by themselves; after this long they are helped. */
#define END_NS (5 * NS_PER_S)
#define KILL_NS (2 * NS_PER_S)
#define RESTART_FIRST_NS (100 * NS_PER_MS)
#define RESTART_MAX_NS (5 * NS_PER_S)
/* Who has lived so long is started again without delay next time. */
#define RESTART_CALM_NS (10 * NS_PER_S)

/* One of the three, which may be started again. */
struct member {
    struct process process;
    bool restarts; /* if a signal kills it */
    uint64_t started_ns;
    uint64_t due_ns;   /* start it (again) then; NEVER: it runs, or is not to */
    uint64_t delay_ns; /* the last one */
};

/* Who was started last, and has not said that it is ready. */
enum stage { STARTING_VENTILATOR, STARTING_WORKER, STARTED };

struct farm {
    const struct farm_arguments *arguments;
    struct private_dir dir;
    char *keys; /* a directory in it; NULL: none are needed */
    int signals_fd;
    enum stage stage;
    int ready_fd; /* of who is being started; -1: nobody is waited for */
    struct member ventilator, worker, sink;
    unsigned interrupts;
    bool sink_ended;
    int job_status;     /* of a ventilator that ended after its goodbye; -1: none has */
    uint64_t end_by_ns; /* TERM to whoever is left then, KILL_NS later KILL */
    int status;
};

/* ---- starting ---- */

/* Where a program binds or connects: `option` says which, `place` to which of the three. */
static char *endpoint(const struct farm *f, const char *option, const char *place)
{
    uint64_t port = f->arguments->direct_port;
    if (!port)
        return xasprintf("--%s=ipc://%s/%s", option, f->dir.path, place);
    port += strcmp(place, "gate") == 0 ? 1 : strcmp(place, "results") == 0 ? 2 : 0;
    bool connects = strcmp(option, "connect") == 0;
    return xasprintf("--%s=tcp://%s:%" PRIu64, option, connects ? "127.0.0.1" : "*", port);
}

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
        words_take(&argv, endpoint(f, endpoints[0], endpoints[1]));
    if (f->keys)
        words_take(&argv, xasprintf("--keys=%s/%s", f->keys, name));
    words_take(&argv, xasprintf("--parent=%d", (int)getpid()));
    if (io->ready_fd >= 0)
        words_add(&argv, "--ready-fd=3");
    if (arguments->count)
        words_add_all(&argv, arguments->items);
    error = process_start(process, name, &argv, io, why);
    words_free(&argv);
    return error;
}

/* Whether the ventilator has the terminal as its stdin. */
static bool shares_terminal(const struct farm *f)
{
    return !f->arguments->spool && isatty(STDIN_FILENO);
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

static void close_if_open(int fd)
{
    if (fd > STDIN_FILENO)
        close(fd);
}

static enum error start_ventilator(struct farm *f, struct why *why)
{
    static const char *const endpoints[] = {"bind", "control", "lanes", "gate", NULL};
    /* On a terminal it has to stay in the foreground group, or its reads would stop it. */
    struct process_io io = {
        .stdin_fd = STDIN_FILENO, .same_group = shares_terminal(f), .ready_fd = -1, .hold_fd = -1};
    struct words arguments = {0};
    bool first = f->stage == STARTING_VENTILATOR;
    enum error error = first ? open_ready(f, &io.ready_fd, why) : ERR_NONE;
    if (!error && f->arguments->spool)
        error = input_spool_begin(f->arguments->spool, &io.stdin_fd, &io.hold_fd, why);
    if (first)
        words_add(&arguments, "--first-life");
    if (f->arguments->ventilator.count)
        words_add_all(&arguments, f->arguments->ventilator.items);
    if (!error)
        error = start(f, &f->ventilator.process, "ventilator", &arguments, endpoints, &io, why);
    words_free(&arguments);
    close_if_open(io.ready_fd);
    close_if_open(io.stdin_fd);
    close_if_open(io.hold_fd);
    return error;
}

static enum error start_sink(struct farm *f, struct why *why)
{
    static const char *const endpoints[] = {"connect", "control", "bind", "results", NULL};
    struct process_io io = {.stdin_fd = -1, .has_stdout = true, .ready_fd = -1, .hold_fd = -1};
    struct words arguments = {0};
    if (f->arguments->retry_failed && !f->sink.delay_ns)
        words_add(&arguments, "--retry-failed");
    if (f->arguments->sink.count)
        words_add_all(&arguments, f->arguments->sink.items);
    enum error error = start(f, &f->sink.process, "sink", &arguments, endpoints, &io, why);
    words_free(&arguments);
    return error;
}

static enum error start_worker(struct farm *f, struct why *why)
{
    static const char *const endpoints[] = {"connect", "control", NULL};
    struct process_io io = {.stdin_fd = -1, .ready_fd = -1, .hold_fd = -1};
    enum error error = f->stage < STARTED ? open_ready(f, &io.ready_fd, why) : ERR_NONE;
    if (error)
        return error;
    error = start(f, &f->worker.process, "worker", &f->arguments->worker, endpoints, &io, why);
    if (io.ready_fd >= 0)
        close(io.ready_fd);
    return error;
}

static enum error start_member(struct farm *f, struct member *m, uint64_t now_ns, struct why *why)
{
    m->started_ns = now_ns;
    m->due_ns = NEVER;
    if (m == &f->worker)
        return start_worker(f, why);
    return m == &f->sink ? start_sink(f, why) : start_ventilator(f, why);
}

/* It was killed; returns whether it is started again. */
static bool start_later(struct member *m, int status, const char *name, uint64_t now_ns)
{
    if (!WIFSIGNALED(status) || !m->restarts)
        return false;
    bool calm = now_ns - m->started_ns > RESTART_CALM_NS;
    m->delay_ns = calm || !m->delay_ns ? RESTART_FIRST_NS : m->delay_ns * 2;
    if (m->delay_ns > RESTART_MAX_NS)
        m->delay_ns = RESTART_MAX_NS;
    m->due_ns = now_ns + m->delay_ns;
    log_line("the %s was killed by signal %d; another one is started", name, WTERMSIG(status));
    return true;
}

static void start_no_more(struct farm *f)
{
    struct member *all[] = {&f->worker, &f->ventilator, &f->sink};
    for (size_t i = 0; i < 3; i++) {
        all[i]->restarts = false;
        all[i]->due_ns = NEVER;
    }
    if (f->arguments->hosts)
        hosts_start_no_more(f->arguments->hosts);
}

/* ---- ending ---- */

static void signal_hosts(const struct farm *f, int number)
{
    if (f->arguments->hosts)
        hosts_signal(f->arguments->hosts, number);
}

static void interrupt_all(struct farm *f)
{
    /* Two different signals, since two equal ones may arrive as one: the programs end at once. */
    struct member *all[] = {&f->worker, &f->ventilator, &f->sink};
    for (size_t i = 0; i < 3; i++) {
        process_signal(&all[i]->process, SIGTERM);
        process_signal(&all[i]->process, SIGINT);
    }
    signal_hosts(f, SIGTERM);
    signal_hosts(f, SIGINT);
}

/* The job cannot go on: what was done is summed up by the sink, the rest is not run. */
static void stop_job(struct farm *f, uint64_t now_ns)
{
    f->status = 255;
    start_no_more(f);
    process_signal(&f->ventilator.process, SIGTERM);
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
        bool shared = info->ssi_code == SI_KERNEL && shares_terminal(f);
        if (!shared)
            process_signal(&f->ventilator.process, SIGTERM);
        if (!f->ventilator.process.pid) {
            start_no_more(f);
            interrupt_all(f);
        }
    } else {
        start_no_more(f);
        interrupt_all(f);
        f->end_by_ns = now_ns;
    }
}

static void worker_ended(struct farm *f, int status, uint64_t now_ns)
{
    bool over = f->sink_ended || f->job_status >= 0;
    if (over || start_later(&f->worker, status, "worker", now_ns))
        return;
    if (f->stage < STARTED) {
        f->status = 255;
        process_signal(&f->ventilator.process, SIGNAL_END_NOW);
    } else if (f->worker.restarts && WEXITSTATUS(status) != 0) {
        stop_job(f, now_ns);
    }
}

static void sink_ended(struct farm *f, int status, uint64_t now_ns)
{
    bool over = f->job_status >= 0; /* then all is written */
    if (!over && start_later(&f->sink, status, "sink", now_ns))
        return;
    f->sink_ended = true;
    start_no_more(f);
    if (WIFSIGNALED(status) && !over)
        log_line("the sink was killed by signal %d, and what it had not written is lost; run it "
                 "again",
                 WTERMSIG(status));
    int ended = WIFEXITED(status) ? WEXITSTATUS(status) : 255;
    if (over)
        ended = f->job_status;
    if (f->status == 0)
        f->status = ended;
    f->end_by_ns = now_ns + (ended == 255 && !f->interrupts ? 0 : END_NS);
}

/* The sink has said that everything is written; if it was killed after that, none is needed now. */
static void job_ended(struct farm *f, int status, uint64_t now_ns)
{
    f->job_status = status;
    f->end_by_ns = now_ns + END_NS;
    if (f->sink.process.pid)
        return;
    f->sink_ended = true;
    start_no_more(f);
    if (f->status == 0)
        f->status = status;
}

static void ventilator_ended(struct farm *f, int status, uint64_t now_ns)
{
    if (!f->sink_ended && start_later(&f->ventilator, status, "ventilator", now_ns))
        return;
    /* If the worker came too late to be told that the job is over. */
    process_signal(&f->worker.process, SIGTERM);
    signal_hosts(f, SIGTERM);
    if (f->sink_ended)
        return;
    if (WIFSIGNALED(status))
        log_line("the ventilator was killed by signal %d; run it again", WTERMSIG(status));
    /* After its goodbye the sink is about to end; otherwise nobody would tell it that all is over.
     */
    bool failed = WIFSIGNALED(status) || WEXITSTATUS(status) == 255;
    if (failed) {
        f->status = 255;
        start_no_more(f);
        f->end_by_ns = now_ns + (WIFSIGNALED(status) ? 0 : NS_PER_S);
    } else {
        job_ended(f, WEXITSTATUS(status), now_ns);
    }
}

static void host_ended(struct farm *f, pid_t pid, int status, uint64_t now_ns)
{
    struct hosts *hosts = f->arguments->hosts;
    bool over = f->sink_ended || f->job_status >= 0;
    if (hosts && hosts_reaped(hosts, pid, status, over, now_ns) && !over &&
        f->arguments->no_worker && hosts_all_refused(hosts))
        stop_job(f, now_ns);
}

static void reap(struct farm *f, uint64_t now_ns)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        if (pid == f->worker.process.pid) {
            f->worker.process.pid = 0;
            worker_ended(f, status, now_ns);
        } else if (pid == f->sink.process.pid) {
            f->sink.process.pid = 0;
            sink_ended(f, status, now_ns);
        } else if (pid == f->ventilator.process.pid) {
            f->ventilator.process.pid = 0;
            ventilator_ended(f, status, now_ns);
        } else {
            host_ended(f, pid, status, now_ns);
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
    struct member *all[] = {&f->worker, &f->ventilator, &f->sink};
    for (size_t i = 0; i < 3; i++)
        process_signal(&all[i]->process, SIGKILL);
    signal_hosts(f, SIGKILL);
}

/* ---- the loop ---- */

static bool is_left(const struct member *m)
{
    return m->process.pid || m->due_ns != NEVER;
}

static bool anybody_left(const struct farm *f)
{
    return is_left(&f->ventilator) || is_left(&f->worker) || is_left(&f->sink) ||
           (f->arguments->hosts && hosts_are_left(f->arguments->hosts));
}

/* Whether piped input is read and handed on: while a ventilator may want it. */
static bool spools(const struct farm *f)
{
    return f->arguments->spool && is_left(&f->ventilator) && !f->interrupts;
}

static void on_ready(struct farm *f, uint64_t now_ns)
{
    char letter;
    struct pollfd item = {.fd = f->ready_fd, .events = POLLIN};
    if (f->ready_fd < 0 || poll(&item, 1, 0) <= 0)
        return;
    bool ready = read(f->ready_fd, &letter, 1) == 1;
    close(f->ready_fd);
    f->ready_fd = -1;
    if (!ready || f->interrupts || !f->ventilator.process.pid)
        return; /* it has ended, or is about to: that says the rest */
    if (f->stage == STARTING_VENTILATOR && f->arguments->hosts)
        hosts_begin(f->arguments->hosts, f->dir.path, now_ns);
    bool worker_is_next = f->stage == STARTING_VENTILATOR && !f->arguments->no_worker;
    struct member *next = worker_is_next ? &f->worker : &f->sink;
    f->stage = worker_is_next ? STARTING_WORKER : STARTED;
    struct why why;
    if (start_member(f, next, now_ns, &why)) {
        log_line("%s", why.text);
        stop_job(f, now_ns);
    }
}

static void start_due(struct farm *f, struct member *m, uint64_t now_ns)
{
    struct why why;
    if (now_ns >= m->due_ns && start_member(f, m, now_ns, &why)) {
        log_line("%s", why.text);
        stop_job(f, now_ns);
    }
}

static uint64_t earliest(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static int timeout_ms(const struct farm *f, uint64_t now_ns)
{
    uint64_t due_ns = earliest(f->worker.due_ns, earliest(f->sink.due_ns, f->ventilator.due_ns));
    if (spools(f))
        due_ns = earliest(due_ns, input_spool_deadline(f->arguments->spool));
    if (f->arguments->hosts)
        due_ns = earliest(due_ns, hosts_deadline(f->arguments->hosts));
    if (f->end_by_ns != NEVER) {
        uint64_t next_ns = f->end_by_ns > now_ns ? f->end_by_ns : now_ns + KILL_NS;
        due_ns = earliest(due_ns, next_ns);
    }
    if (due_ns == NEVER)
        return -1;
    return due_ns <= now_ns ? 0 : (int)((due_ns - now_ns) / NS_PER_MS + 1);
}

static void turn_spool(struct farm *f, uint64_t now_ns)
{
    struct why why;
    if (!spools(f) || !input_spool_turn(f->arguments->spool, now_ns, &why))
        return;
    log_line("%s", why.text);
    stop_job(f, now_ns);
}

static void wait_for_events(const struct farm *f)
{
    struct pollfd items[2 + SPOOL_POLL_MAX] = {{.fd = f->signals_fd, .events = POLLIN},
                                               {.fd = f->ready_fd, .events = POLLIN}};
    size_t count = 2; /* poll passes over a descriptor below 0 */
    if (spools(f))
        count += input_spool_poll(f->arguments->spool, items + count);
    poll(items, count, timeout_ms(f, clock_now_ns()));
}

static void loop(struct farm *f)
{
    while (anybody_left(f)) {
        wait_for_events(f);
        uint64_t now_ns = clock_now_ns();
        struct signalfd_siginfo info;
        while (read(f->signals_fd, &info, sizeof info) == sizeof info)
            if (info.ssi_signo != SIGCHLD)
                on_signal(f, &info, now_ns);
        reap(f, now_ns);
        on_ready(f, now_ns);
        turn_spool(f, now_ns);
        start_due(f, &f->ventilator, now_ns);
        start_due(f, &f->sink, now_ns);
        start_due(f, &f->worker, now_ns);
        if (f->arguments->hosts)
            hosts_turn(f->arguments->hosts, now_ns);
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
    struct farm f = {.arguments = arguments,
                     .ready_fd = -1,
                     .ventilator = {.restarts = arguments->has_store &&
                                                (arguments->can_read_again || arguments->spool),
                                    .due_ns = NEVER},
                     .worker = {.restarts = true, .due_ns = NEVER},
                     .sink = {.restarts = arguments->has_store, .due_ns = NEVER},
                     .job_status = -1,
                     .end_by_ns = NEVER};
    struct why why;
    enum error error = open_signals(&f, &why);
    error = error ? error : private_dir_make(&f.dir, &why);
    if (!error && arguments->direct_port) {
        f.keys = xasprintf("%s/keys", f.dir.path);
        error = keys_make(f.keys, &why);
    }
    error = error ? error : start_member(&f, &f.ventilator, clock_now_ns(), &why);
    if (error) {
        log_line("%s", why.text);
        f.status = 255;
    }
    loop(&f);
    if (f.keys)
        keys_remove(f.keys);
    free(f.keys);
    private_dir_remove(&f.dir);
    return f.sink_ended || f.status ? f.status : 255;
}
