/* SPDX-License-Identifier: MPL-2.0 */
#include "tests/unit/command_farm.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"

static void keep(struct buf *to, const struct output *output)
{
    buf_clear(to);
    if (output->fd < 0) {
        cr_assert_eq(output->bytes.size, output->size);
        buf_put_bytes(to, output->bytes);
        return;
    }
    uint8_t *room = buf_reserve(to, output->size);
    cr_assert_eq(pread(output->fd, room, output->size, 0), (ssize_t)output->size);
    to->size = output->size;
    close(output->fd);
}

static void on_finished(void *context, const struct outcome *outcome)
{
    struct farm *farm = context;
    struct ending *ending = &farm->slots[outcome->slot];
    ending->outcome = *outcome;
    keep(&ending->out, &outcome->out);
    keep(&ending->err, &outcome->err);
    buf_put_byte(&ending->err, '\0');
    buf_clear(&ending->command);
    buf_put_bytes(&ending->command, outcome->command);
    ending->finished++;
    farm->endings++;
}

static void on_returned(void *context, unsigned slot, uint64_t first, uint32_t count)
{
    struct farm *farm = context;
    cr_assert(first > 0 && count == 1);
    farm->slots[slot].returned++;
    farm->endings++;
}

static void on_cancelled(void *context, unsigned slot, uint64_t seq)
{
    struct farm *farm = context;
    cr_assert(seq > 0);
    farm->slots[slot].cancelled++;
    farm->endings++;
}

static void on_broken(void *context, const char *why)
{
    struct farm *farm = context;
    farm->broken++;
    snprintf(farm->why.text, sizeof farm->why.text, "%s", why);
}

static void on_stopped(void *context, unsigned slot, bool stopped)
{
    struct farm *farm = context;
    farm->slots[slot].stopped = stopped;
}

static void on_held(void *context, unsigned slot, pid_t pid, const char *name)
{
    struct farm *farm = context;
    struct ending *ending = &farm->slots[slot];
    ending->held_by = pid;
    snprintf(ending->held_name, sizeof ending->held_name, "%s", name);
}

static const struct executor_options defaults = {
    .slots = SLOTS,
    .kill_after_ns = 10 * NS_PER_S,
    .output_max = 16 << 20,
    .tmpdir = "/tmp",
    .worker = "here",
    .want_command = true,
};

/* As a worker is: SIGCHLD by descriptor, signals blocked, SIGPIPE ignored. */
struct farm farm_of(bool shell, char *const *words)
{
    struct farm farm = {.options = defaults};
    farm.options.words = words;
    farm.options.shell = shell;
    signal(SIGPIPE, SIG_IGN);
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGCHLD);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGINT);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    farm.signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    return farm;
}

enum error farm_open(struct farm *farm)
{
    struct executor_events events = {.context = farm,
                                     .finished = on_finished,
                                     .returned = on_returned,
                                     .cancelled = on_cancelled,
                                     .broken = on_broken,
                                     .stopped = on_stopped,
                                     .held = on_held};
    return executor_new(&command_kind, &farm->options, &events, &farm->executor, &farm->why);
}

void farm_close(struct farm *farm)
{
    executor_destroy(&farm->executor);
    cr_assert_null(farm->executor);
    close(farm->signals);
    for (int i = 0; i < SLOTS; i++) {
        buf_free(&farm->slots[i].out);
        buf_free(&farm->slots[i].err);
        buf_free(&farm->slots[i].command);
        buf_free(&farm->records[i]);
    }
}

void farm_start_task(struct farm *farm, unsigned slot, struct bytes task)
{
    buf_clear(&farm->records[slot]);
    task_put_line(&farm->records[slot], task);
    struct assignment assignment = {.slot = slot,
                                    .first = slot + 10,
                                    .count = 1,
                                    .attempt = {1, 1},
                                    .tries = 3,
                                    .records = buf_bytes(&farm->records[slot])};
    executor_start(farm->executor, &assignment, clock_now_ns());
}

void farm_start(struct farm *farm, unsigned slot, const char *task)
{
    farm_start_task(farm, slot, bytes_of(task));
}

static void farm_reap(struct farm *farm)
{
    struct signalfd_siginfo info;
    ssize_t ignored = read(farm->signals, &info, sizeof info);
    (void)ignored;
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED)) > 0;)
        if (WIFSTOPPED(status) || WIFCONTINUED(status))
            executor_child_stopped(farm->executor, pid, WIFSTOPPED(status));
        else
            executor_child_exited(farm->executor, pid, status, clock_now_ns());
}

static int timeout_ms(uint64_t now_ns, uint64_t deadline_ns)
{
    if (deadline_ns <= now_ns)
        return 0;
    uint64_t left_ms = (deadline_ns - now_ns) / NS_PER_MS + 1;
    return left_ms < 1000 ? (int)left_ms : 1000;
}

void farm_turn(struct farm *farm)
{
    struct pollfd polled[] = {{.fd = farm->signals, .events = POLLIN},
                              {.fd = executor_fd(farm->executor), .events = POLLIN}};
    poll(polled, 2, timeout_ms(clock_now_ns(), executor_deadline(farm->executor)));
    executor_turn(farm->executor, clock_now_ns());
    farm_reap(farm);
}

void farm_await(struct farm *farm, unsigned endings)
{
    uint64_t end_ns = clock_now_ns() + DEADLINE_S * NS_PER_S;
    while (farm->endings < endings) {
        cr_assert_lt(clock_now_ns(), end_ns, "%u of %u tasks have ended", farm->endings, endings);
        farm_turn(farm);
    }
}

struct ending *farm_run(struct farm *farm, const char *task)
{
    unsigned endings = farm->endings;
    farm_start(farm, 0, task);
    farm_await(farm, endings + 1);
    return &farm->slots[0];
}

void expect_out(const struct ending *ending, const char *expected)
{
    cr_expect(bytes_equal(buf_bytes(&ending->out), bytes_of(expected)), "got: %.*s",
              (int)ending->out.size, (char *)ending->out.data);
}

void expect_err(const struct ending *ending, const char *part)
{
    cr_expect(strstr((char *)ending->err.data, part), "got: %s", (char *)ending->err.data);
}

void expect_status(const struct ending *ending, enum result_status status, unsigned code)
{
    cr_expect_eq(ending->outcome.status, status, "%s", result_status_word(ending->outcome.status));
    cr_expect_eq(ending->outcome.code, code, "code %u", ending->outcome.code);
}
