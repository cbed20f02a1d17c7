/* SPDX-License-Identifier: MPL-2.0 */
#include "zfarm/run/farm.h"

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

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/sys/private_dir.h"
#include "common/sys/shortage.h"
#include "common/sys/signals.h"
#include "common/base/xalloc.h"
#include "zfarm/keys.h"
#include "zfarm/run/process.h"
#include "zfarm/run/supervisor.h"

enum {
    THREADS = 8
}; /* of all that is started here, with some to spare: each counts as a process */

struct farm {
    const struct farm_arguments *arguments;
    struct private_dir dir;
    char *keys; /* a directory in it; NULL: none are needed */
    int signals_fd;
    struct supervisor supervisor;
    enum supervisor_state state; /* that was told of last (log_debug) */
    struct process processes[MEMBERS];
    int ready_fds[MEMBERS]; /* where each says that it is ready; -1: it has, or does not run */
    bool no_more;           /* input is spooled */
    bool over;
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

static enum error farm_start(struct farm *f, struct process *process, const char *name,
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

/* Makes the pipe on which a member says that it is ready; the writing end is the caller's. */
static enum error open_ready(struct farm *f, enum member member, int *writer, struct why *why)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC))
        return fail(why, ERR_IO, "cannot make a pipe: %s", strerror(errno));
    /* Descriptor 3 in the child must be a copy: dup2 onto itself would leave it close-on-exec. */
    *writer = fcntl(fds[1], F_DUPFD_CLOEXEC, 10);
    close(fds[1]);
    f->ready_fds[member] = fds[0];
    return ERR_NONE;
}

static void close_if_open(int fd)
{
    if (fd > STDIN_FILENO)
        close(fd);
}

static void put_ventilator(const struct farm *f, struct words *arguments)
{
    if (f->supervisor.state == SUPERVISOR_STARTING_VENTILATOR)
        words_add(arguments, "--first-life");
    if (f->arguments->ventilator.count)
        words_add_all(arguments, f->arguments->ventilator.items);
}

static enum error start_member(struct farm *f, enum member member, struct why *why)
{
    static const char *const endpoints[MEMBERS][5] = {
        [MEMBER_VENTILATOR] = {"bind", "control", "lanes", "gate", NULL},
        [MEMBER_WORKER] = {"connect", "control", NULL},
        [MEMBER_SINK] = {"connect", "control", "bind", "results", NULL}};
    struct process_io io = {
        .stdin_fd = -1, .has_stdout = member == MEMBER_SINK, .ready_fd = -1, .hold_fd = -1};
    struct words arguments = {0};
    enum error error = open_ready(f, member, &io.ready_fd, why);
    if (member == MEMBER_VENTILATOR) {
        /* On a terminal it has to stay in the foreground group, or its reads would fail. */
        io.stdin_fd = STDIN_FILENO;
        io.same_group = shares_terminal(f);
        put_ventilator(f, &arguments);
        if (!error && f->arguments->spool)
            error = input_spool_begin(f->arguments->spool, &io.stdin_fd, &io.hold_fd, why);
    } else if (member == MEMBER_SINK) {
        if (f->arguments->sink.count)
            words_add_all(&arguments, f->arguments->sink.items);
    } else {
        words_add_all(&arguments, f->arguments->worker.items);
    }
    struct process *process = &f->processes[member];
    if (!error)
        error =
            farm_start(f, process, member_name(member), &arguments, endpoints[member], &io, why);
    words_free(&arguments);
    close_if_open(io.ready_fd);
    close_if_open(io.stdin_fd);
    close_if_open(io.hold_fd);
    return error;
}

/* ---- actions ---- */

static int farm_number_of(enum order order)
{
    switch (order) {
    case ORDER_STOP:
        return SIGTERM;
    case ORDER_END_NOW:
        return SIGNAL_END_NOW;
    case ORDER_KILL:
        return SIGKILL;
    case ORDER_HOLD:
        return SIGNAL_HOLD;
    case ORDER_GO:
        return SIGNAL_GO;
    }
    return 0;
}

static void try_start(struct farm *f, enum member member, uint64_t now_ns)
{
    struct why why;
    if (start_member(f, member, &why))
        supervisor_not_started(&f->supervisor, member, why.text, now_ns);
}

static void signal_hosts(const struct farm *f, int number)
{
    if (f->arguments->hosts)
        hosts_signal(f->arguments->hosts, number);
}

static void farm_do_action(struct farm *f, const struct supervisor_action *action, uint64_t now_ns)
{
    struct hosts *hosts = f->arguments->hosts;
    switch (action->kind) {
    case SUPERVISOR_START:
        try_start(f, action->member, now_ns);
        break;
    case SUPERVISOR_SIGNAL:
        process_signal(&f->processes[action->member], farm_number_of(action->order));
        break;
    case SUPERVISOR_BEGIN_HOSTS:
        if (hosts)
            hosts_begin(hosts, f->dir.path, now_ns);
        break;
    case SUPERVISOR_SIGNAL_HOSTS:
        signal_hosts(f, farm_number_of(action->order));
        break;
    case SUPERVISOR_NO_MORE:
        f->no_more = true;
        if (hosts)
            hosts_start_no_more(hosts);
        break;
    case SUPERVISOR_SAY:
        log_line("%s", action->why.text);
        break;
    case SUPERVISOR_PAUSE:
        raise(SIGSTOP); /* the shell has the terminal, until fg or bg */
        supervisor_go(&f->supervisor, clock_now_ns());
        break;
    case SUPERVISOR_EXIT:
        f->status = action->status;
        f->over = true;
        break;
    }
}

static void farm_do_actions(struct farm *f, uint64_t now_ns)
{
    struct supervisor_action action;
    while (supervisor_next_action(&f->supervisor, &action))
        farm_do_action(f, &action, now_ns);
    if (f->state == f->supervisor.state)
        return;
    f->state = f->supervisor.state;
    log_debug("state: %s", supervisor_state_name(f->state)); /* tests place their blows by it */
}

/* ---- events ---- */

static void hear_held(struct farm *f, pid_t pid)
{
    for (enum member m = 0; m < MEMBERS; m++)
        if (f->processes[m].pid == pid)
            supervisor_holds(&f->supervisor, m);
}

static void on_signal(struct farm *f, const struct signalfd_siginfo *info, uint64_t now_ns)
{
    int number = (int)info->ssi_signo;
    if (number == SIGCHLD)
        return;
    if (number == SIGTSTP)
        supervisor_hold(&f->supervisor, now_ns);
    else if (number == SIGCONT)
        supervisor_go(&f->supervisor, now_ns);
    else if (number == SIGNAL_HELD)
        hear_held(f, (pid_t)info->ssi_pid);
    else
        supervisor_interrupted(&f->supervisor, sigabbrev_np(number), info->ssi_code == SI_KERNEL,
                               number != SIGHUP, now_ns);
}

static void host_ended(struct farm *f, pid_t pid, int status, uint64_t now_ns)
{
    struct hosts *hosts = f->arguments->hosts;
    if (hosts)
        hosts_reaped(hosts, pid, status, supervisor_is_ending(&f->supervisor), now_ns);
}

static void close_ready(struct farm *f, enum member member)
{
    if (f->ready_fds[member] >= 0)
        close(f->ready_fds[member]);
    f->ready_fds[member] = -1;
}

static void hear_member(struct farm *f, enum member member, uint64_t now_ns)
{
    char letter;
    struct pollfd item = {.fd = f->ready_fds[member], .events = POLLIN};
    if (f->ready_fds[member] < 0 || poll(&item, 1, 0) <= 0)
        return;
    bool is_ready = read(f->ready_fds[member], &letter, 1) == 1;
    close_ready(f, member);
    if (is_ready)
        supervisor_ready(&f->supervisor, member, now_ns);
}

static void member_ended(struct farm *f, enum member member, int status, uint64_t now_ns)
{
    struct member_end end = {.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
                             .status = WIFEXITED(status) ? WEXITSTATUS(status) : 255};
    hear_member(f, member, now_ns); /* what it said before it ended comes before its end */
    close_ready(f, member);
    f->processes[member].pid = 0;
    supervisor_ended(&f->supervisor, member, end, now_ns);
}

static void farm_reap(struct farm *f, uint64_t now_ns)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        enum member member = 0;
        while (member < MEMBERS && f->processes[member].pid != pid)
            member++;
        if (member < MEMBERS)
            member_ended(f, member, status, now_ns);
        else
            host_ended(f, pid, status, now_ns);
        farm_do_actions(f, now_ns);
    }
}

/* ---- the loop ---- */

/* Whether piped input is read and handed on. */
static bool spools(const struct farm *f)
{
    return f->arguments->spool && !f->no_more && supervisor_wants_input(&f->supervisor);
}

static int farm_timeout_ms(const struct farm *f, uint64_t now_ns)
{
    uint64_t due_ns = supervisor_deadline(&f->supervisor);
    if (spools(f))
        due_ns = clock_earlier(due_ns, input_spool_deadline(f->arguments->spool));
    if (f->arguments->hosts)
        due_ns = clock_earlier(due_ns, hosts_deadline(f->arguments->hosts, now_ns));
    if (due_ns == NEVER)
        return -1;
    return due_ns <= now_ns ? 0 : (int)((due_ns - now_ns) / NS_PER_MS + 1);
}

static void turn_spool(struct farm *f, uint64_t now_ns)
{
    struct why why;
    if (spools(f) && input_spool_turn(f->arguments->spool, now_ns, &why))
        supervisor_failed(&f->supervisor, why.text, now_ns);
}

static void turn_hosts(struct farm *f, uint64_t now_ns)
{
    struct hosts *hosts = f->arguments->hosts;
    if (!hosts)
        return;
    struct why why;
    hosts_turn(hosts, now_ns);
    if (!supervisor_is_ending(&f->supervisor) && hosts_are_lost(hosts, now_ns, &why))
        supervisor_failed(&f->supervisor, why.text, now_ns);
    supervisor_set_hosts_left(&f->supervisor, hosts_are_left(hosts));
}

static void farm_wait_for_events(const struct farm *f)
{
    struct pollfd items[1 + MEMBERS + SPOOL_POLL_MAX] = {{.fd = f->signals_fd, .events = POLLIN}};
    size_t count = 1;
    for (enum member m = 0; m < MEMBERS; m++) /* poll passes over a descriptor below 0 */
        items[count++] = (struct pollfd){.fd = f->ready_fds[m], .events = POLLIN};
    if (spools(f))
        count += input_spool_poll(f->arguments->spool, items + count);
    poll(items, count, farm_timeout_ms(f, clock_now_ns()));
}

static void farm_take_signals(struct farm *f, uint64_t now_ns)
{
    struct signalfd_siginfo info;
    while (read(f->signals_fd, &info, sizeof info) == sizeof info) {
        on_signal(f, &info, now_ns);
        farm_do_actions(f, now_ns);
    }
}

/* One turn, in this order: signals, children that ended, who is ready, the spool, hosts, and last what
 * is due: so nobody is started after an interrupt that was there before. */
static void farm_loop(struct farm *f)
{
    while (!f->over) {
        uint64_t now_ns = clock_now_ns();
        farm_take_signals(f, now_ns);
        farm_reap(f, now_ns);
        for (enum member m = 0; m < MEMBERS; m++)
            hear_member(f, m, now_ns);
        turn_spool(f, now_ns);
        farm_do_actions(f, now_ns);
        turn_hosts(f, now_ns);
        supervisor_turn(&f->supervisor, now_ns);
        farm_do_actions(f, now_ns);
        if (!f->over)
            farm_wait_for_events(f);
    }
}

/* HUP and TSTP that were ignored when we began stay so: nohup does that to HUP. */
static enum error open_signals(struct farm *f, struct why *why)
{
    sigset_t set;
    sigemptyset(&set);
    const int numbers[] = {SIGTERM, SIGINT, SIGCHLD, SIGCONT, SIGNAL_HELD};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigaddset(&set, numbers[i]);
    if (!signals_ignored(SIGHUP))
        sigaddset(&set, SIGHUP);
    if (!signals_ignored(SIGTSTP))
        sigaddset(&set, SIGTSTP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    f->signals_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (f->signals_fd < 0)
        return fail(why, ERR_IO, "cannot watch signals: %s", strerror(errno));
    return ERR_NONE;
}

int farm_run(const struct farm_arguments *arguments)
{
    struct farm f = {
        .arguments = arguments, .ready_fds = {-1, -1, -1}, .state = SUPERVISOR_OVER, .status = 255};
    bool can_read_again = arguments->can_read_again || arguments->spool;
    struct supervisor_options options = {
        .has_worker = !arguments->no_worker,
        .restarts = {[MEMBER_VENTILATOR] = arguments->has_store && can_read_again,
                     [MEMBER_WORKER] = true,
                     [MEMBER_SINK] = arguments->has_store},
        .has_store = arguments->has_store};
    struct why why;
    enum error error = shortage_check(SHORTAGE_DESCRIPTORS_LEAST, THREADS, &why);
    error = error ? error : open_signals(&f, &why);
    error = error ? error : private_dir_make(&f.dir, &why);
    if (!error && arguments->direct_port) {
        f.keys = xasprintf("%s/keys", f.dir.path);
        error = keys_make(f.keys, &why);
    }
    supervisor_init(&f.supervisor, &options, clock_now_ns());
    if (error)
        log_line("%s", why.text);
    else
        farm_loop(&f);
    if (f.keys)
        keys_remove(f.keys);
    free(f.keys);
    private_dir_remove(&f.dir);
    return f.status;
}
