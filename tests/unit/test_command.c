/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/command.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"

TestSuite(command, .timeout = 120);

enum { SLOTS = 2, DEADLINE_S = 60 };

/* How the tasks of one slot ended last. */
struct ending {
    unsigned finished, returned, cancelled;
    struct outcome outcome;
    struct buf out, err, command;
};

/* A worker's loop around one command executor. */
struct farm {
    struct command_options options;
    struct executor *executor;
    int signals;
    unsigned endings;
    struct ending slots[SLOTS];
    struct buf records[SLOTS];
    unsigned broken;
    struct why why;
};

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

static const struct executor_options defaults = {
    .slots = SLOTS,
    .kill_after_ns = 10 * NS_PER_S,
    .output_max = 16 << 20,
    .tmpdir = "/tmp",
    .worker = "here",
    .want_command = true,
};

/* As a worker is: SIGCHLD by descriptor, signals blocked, SIGPIPE ignored. */
static struct farm farm_of(bool shell, char *const *words)
{
    struct farm farm = {.options = {.base = defaults, .words = words, .shell = shell}};
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

static enum error farm_open(struct farm *farm)
{
    struct executor_events events = {farm, on_finished, on_returned, on_cancelled, on_broken};
    return command_new(&farm->options, &events, &farm->executor, &farm->why);
}

static void farm_close(struct farm *farm)
{
    farm->executor->class->destroy(&farm->executor);
    cr_assert_null(farm->executor);
    close(farm->signals);
    for (int i = 0; i < SLOTS; i++) {
        buf_free(&farm->slots[i].out);
        buf_free(&farm->slots[i].err);
        buf_free(&farm->slots[i].command);
        buf_free(&farm->records[i]);
    }
}

static void farm_start_task(struct farm *farm, unsigned slot, struct bytes task)
{
    buf_clear(&farm->records[slot]);
    task_put_line(&farm->records[slot], task);
    struct assignment assignment = {.slot = slot,
                                    .first = slot + 10,
                                    .count = 1,
                                    .attempt = {1, 1},
                                    .tries = 3,
                                    .records = buf_bytes(&farm->records[slot])};
    farm->executor->class->start(farm->executor, &assignment, clock_now_ns());
}

static void farm_start(struct farm *farm, unsigned slot, const char *task)
{
    farm_start_task(farm, slot, bytes_of(task));
}

static void farm_reap(struct farm *farm)
{
    struct signalfd_siginfo info;
    ssize_t ignored = read(farm->signals, &info, sizeof info);
    (void)ignored;
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        farm->executor->class->child_exited(farm->executor, pid, status, clock_now_ns());
}

static int timeout_ms(uint64_t now_ns, uint64_t deadline_ns)
{
    if (deadline_ns <= now_ns)
        return 0;
    uint64_t left_ms = (deadline_ns - now_ns) / NS_PER_MS + 1;
    return left_ms < 1000 ? (int)left_ms : 1000;
}

static void farm_turn(struct farm *farm)
{
    const struct executor_class *class = farm->executor->class;
    struct pollfd polled[] = {{.fd = farm->signals, .events = POLLIN},
                              {.fd = class->fd(farm->executor), .events = POLLIN}};
    poll(polled, 2, timeout_ms(clock_now_ns(), class->deadline(farm->executor)));
    class->turn(farm->executor, clock_now_ns());
    farm_reap(farm);
}

static void farm_await(struct farm *farm, unsigned endings)
{
    uint64_t end_ns = clock_now_ns() + DEADLINE_S * NS_PER_S;
    while (farm->endings < endings) {
        cr_assert_lt(clock_now_ns(), end_ns, "%u of %u tasks have ended", farm->endings, endings);
        farm_turn(farm);
    }
}

/* Runs one task in the first slot and returns how it ended. */
static struct ending *farm_run(struct farm *farm, const char *task)
{
    unsigned endings = farm->endings;
    farm_start(farm, 0, task);
    farm_await(farm, endings + 1);
    return &farm->slots[0];
}

#define WORDS(...) ((char *[]){__VA_ARGS__, NULL})
#define NO_WORDS ((char *[]){NULL})

/* The executor keeps pointers into the farm, which therefore is opened where it stays. */
#define OPEN_FARM(farm, shell, words)                                                              \
    struct farm farm = farm_of(shell, words);                                                      \
    cr_assert_eq(farm_open(&farm), ERR_NONE, "%s", farm.why.text)

static void expect_out(const struct ending *ending, const char *expected)
{
    cr_expect(bytes_equal(buf_bytes(&ending->out), bytes_of(expected)), "got: %.*s",
              (int)ending->out.size, (char *)ending->out.data);
}

static void expect_err(const struct ending *ending, const char *part)
{
    cr_expect(strstr((char *)ending->err.data, part), "got: %s", (char *)ending->err.data);
}

static void expect_status(const struct ending *ending, enum result_status status, unsigned code)
{
    cr_expect_eq(ending->outcome.status, status, "%s", result_status_word(ending->outcome.status));
    cr_expect_eq(ending->outcome.code, code, "code %u", ending->outcome.code);
}

Test(command, runs_a_program_without_a_shell_and_captures_both_streams)
{
    OPEN_FARM(farm, false, WORDS("printf", "%s|", "{}", "a b", "$HOME"));
    uint64_t before_us = clock_realtime_us();
    struct ending *ending = farm_run(&farm, "x y");
    expect_status(ending, RESULT_OK, 0);
    expect_out(ending, "x y|a b|$HOME|");
    cr_expect_eq(ending->err.size, 1);
    cr_expect_eq(ending->outcome.seq, 10);
    cr_expect(
        bytes_equal(buf_bytes(&ending->command), bytes_of("printf '%s|' 'x y' 'a b' '$HOME'")));
    cr_expect_geq(ending->outcome.start_us, before_us);
    cr_expect_gt(ending->outcome.duration_ns, 0);
    cr_expect_lt(ending->outcome.duration_ns, DEADLINE_S * NS_PER_S);
    farm_close(&farm);
}

Test(command, runs_both_slots_at_once_and_again)
{
    OPEN_FARM(farm, true, WORDS("echo {}; echo err-{} >&2"));
    for (unsigned round = 1; round <= 20; round++) {
        farm_start(&farm, 0, "a");
        farm_start(&farm, 1, "b");
        farm_await(&farm, round * 2);
        expect_out(&farm.slots[0], "a\n");
        expect_out(&farm.slots[1], "b\n");
        expect_err(&farm.slots[1], "err-b\n");
    }
    cr_expect_eq(farm.slots[0].finished, 20);
    farm_close(&farm);
}

Test(command, with_a_shell_and_no_command_the_task_is_the_line)
{
    OPEN_FARM(farm, true, NO_WORDS);
    struct ending *ending = farm_run(&farm, "echo 'a  b' | tr a-z A-Z");
    expect_out(ending, "A  B\n");
    cr_expect(bytes_equal(buf_bytes(&ending->command), bytes_of("echo 'a  b' | tr a-z A-Z")));
    farm_close(&farm);
}

Test(command, no_command_line_is_made_when_none_is_wanted)
{
    OPEN_FARM(farm, false, WORDS("true"));
    farm.options.base.want_command = false;
    cr_expect_eq(farm_run(&farm, "x")->command.size, 0);
    farm_close(&farm);
}

Test(command, exit_statuses_and_signals_are_told)
{
    OPEN_FARM(farm, true, NO_WORDS);
    expect_status(farm_run(&farm, "exit 3"), RESULT_EXITED, 3);
    expect_status(farm_run(&farm, "kill -9 $$"), RESULT_SIGNALED, SIGKILL);
    expect_status(farm_run(&farm, "exit 0"), RESULT_OK, 0);
    farm_close(&farm);
}

Test(command, a_child_has_a_clean_environment_and_its_own_variables)
{
    setenv("ZFARM_CONNECT", "tcp://x", 1);
    setenv("KEPT", "yes", 1);
    OPEN_FARM(farm, true, NO_WORDS);
    farm_start(&farm, 1, "echo $ZFARM_SEQ $ZFARM_SLOT $ZFARM_ATTEMPT $ZFARM_WORKER $KEPT; env");
    farm_await(&farm, 1);
    buf_put_byte(&farm.slots[1].out, '\0');
    const char *out = (char *)farm.slots[1].out.data;
    cr_expect_eq(strncmp(out, "11 2 3 here yes\n", 16), 0, "%s", out);
    cr_expect_null(strstr(out, "ZFARM_CONNECT"));
    farm_close(&farm);
}

/* The two bits are signals 32 and 33, the C library's own: its posix_spawn ignores them in every
 * child. Descriptor 3 is the directory that is being read. */
Test(command, a_child_has_no_signal_blocked_or_ignored_and_no_descriptor_too_many)
{
    cr_assert_eq(close_range(3, ~0U, CLOSE_RANGE_CLOEXEC), 0); /* Criterion's */
    OPEN_FARM(farm, true, NO_WORDS);
    farm_start(&farm, 1, "sleep 1000");
    struct ending *ending = farm_run(&farm, "grep -E 'Sig(Blk|Ign)' /proc/self/status");
    expect_out(ending, "SigBlk:\t0000000000000000\nSigIgn:\t0000000180000000\n");
    expect_out(farm_run(&farm, "cd /proc/self/fd; echo *"), "0 1 2 3\n");
    expect_out(farm_run(&farm, "test $(cut -d' ' -f5 /proc/$$/stat) = $$ && echo own"), "own\n");
    farm_close(&farm);
}

Test(command, a_command_that_reads_stdin_gets_its_end)
{
    OPEN_FARM(farm, false, WORDS("cat", "-", "{}"));
    struct ending *ending = farm_run(&farm, "/dev/null");
    expect_status(ending, RESULT_OK, 0);
    expect_out(ending, "");
    farm_close(&farm);
}

Test(command, children_left_behind_with_stdout_are_neither_waited_for_nor_killed)
{
    OPEN_FARM(farm, true, NO_WORDS);
    struct ending *ending = farm_run(&farm, "sleep 1000 & echo $!");
    expect_status(ending, RESULT_OK, 0);
    buf_put_byte(&ending->out, '\0');
    pid_t left = (pid_t)strtol((char *)ending->out.data, NULL, 10);
    cr_assert_gt(left, 0);
    cr_expect_eq(kill(left, 0), 0);
    kill(left, SIGKILL);
    farm_close(&farm);
}

Test(command, what_was_written_just_before_the_exit_is_not_lost)
{
    OPEN_FARM(farm, true, NO_WORDS);
    for (int i = 0; i < 20; i++)
        cr_expect_eq(
            farm_run(&farm, "head -c 65536 /dev/zero; exec head -c 60000 /dev/zero >&2")->out.size,
            65536);
    cr_expect_eq(farm.slots[0].err.size, 60001);
    farm_close(&farm);
}

Test(command, a_large_output_comes_in_a_file)
{
    OPEN_FARM(farm, true, NO_WORDS);
    struct ending *ending = farm_run(&farm, "head -c 3000000 /dev/zero; yes | head -c 2000000 >&2");
    expect_status(ending, RESULT_OK, 0);
    cr_expect_geq(ending->outcome.out.fd, 0);
    cr_expect_eq(ending->out.size, 3000000);
    cr_expect_eq(ending->err.size, 2000001);
    cr_expect_eq(memcmp(ending->err.data + 1999990, "y\ny\ny\ny\ny\n", 10), 0);
    cr_expect_eq(farm_run(&farm, "echo small")->outcome.out.fd, -1);
    expect_out(ending, "small\n");
    farm_close(&farm);
}

Test(command, a_task_that_writes_more_than_output_max_is_killed)
{
    struct farm farm = farm_of(true, NO_WORDS);
    farm.options.base.output_max = 100000;
    cr_assert_eq(farm_open(&farm), ERR_NONE);
    struct ending *ending = farm_run(&farm, "yes");
    expect_status(ending, RESULT_OUTPUT_TOO_LARGE, 0);
    cr_expect_eq(ending->out.size, 100000);
    expect_status(farm_run(&farm, "head -c 100000 /dev/zero"), RESULT_OK, 0);
    cr_expect_eq(ending->out.size, 100000);
    expect_status(farm_run(&farm, "head -c 100001 /dev/zero"), RESULT_OUTPUT_TOO_LARGE, 0);
    expect_status(farm_run(&farm, "yes >&2"), RESULT_OUTPUT_TOO_LARGE, 0);
    farm_close(&farm);
}

Test(command, output_that_finds_no_room_fails_the_task_with_words)
{
    struct farm farm = farm_of(true, NO_WORDS);
    farm.options.base.tmpdir = "/no/such/directory";
    cr_assert_eq(farm_open(&farm), ERR_NONE);
    struct ending *ending = farm_run(&farm, "echo mine >&2; yes");
    expect_status(ending, RESULT_OUTPUT_TOO_LARGE, 0);
    cr_expect_gt(ending->out.size, 900000);
    expect_err(ending,
               "mine\nzfarm: this task was killed, its output could not be kept in /no/such");
    expect_err(ending, "No such file");
    farm_close(&farm);
}

Test(command, a_full_disk_replaces_the_end_of_stderr_by_the_words)
{
    signal(SIGXFSZ, SIG_IGN);
    OPEN_FARM(farm, true, NO_WORDS);
    struct rlimit limit = {2 << 20, 2 << 20};
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    struct ending *ending = farm_run(&farm, "yes >&2");
    expect_status(ending, RESULT_OUTPUT_TOO_LARGE, 0);
    cr_expect_leq(ending->err.size, (2 << 20) + 1);
    cr_expect_gt(ending->err.size, 1 << 20);
    const char *end = (char *)ending->err.data + ending->err.size - 2;
    cr_expect(memmem(end - 300, 300, "zfarm: this task was killed", 27));
    cr_expect_eq(*end, '\n');
    farm_close(&farm);
}

Test(command, a_task_that_closes_its_streams_goes_on_and_costs_no_turns)
{
    OPEN_FARM(farm, true, NO_WORDS);
    farm_start(&farm, 0, "echo out; exec >&- 2>&-; sleep 0.3; exit 4");
    unsigned turns = 0;
    for (; !farm.endings; turns++)
        farm_turn(&farm);
    expect_status(&farm.slots[0], RESULT_EXITED, 4);
    expect_out(&farm.slots[0], "out\n");
    cr_expect_leq(turns, 5);
    farm_close(&farm);
}

Test(command, a_task_that_runs_out_of_time_is_ended_with_its_group)
{
    struct farm farm = farm_of(true, NO_WORDS);
    farm.options.base.timeout_ns = 200 * NS_PER_MS;
    cr_assert_eq(farm_open(&farm), ERR_NONE);
    struct ending *ending = farm_run(&farm, "echo begun; sleep 1000 & echo $!; wait");
    expect_status(ending, RESULT_TIMED_OUT, 0);
    cr_expect_geq(ending->outcome.duration_ns, 200 * NS_PER_MS);
    cr_expect_eq(memcmp(ending->out.data, "begun\n", 6), 0);
    expect_status(farm_run(&farm, "true"), RESULT_OK, 0);
    farm_close(&farm);
}

Test(command, a_task_that_ignores_term_is_killed)
{
    struct farm farm = farm_of(true, NO_WORDS);
    farm.options.base.timeout_ns = 100 * NS_PER_MS;
    farm.options.base.kill_after_ns = 300 * NS_PER_MS;
    cr_assert_eq(farm_open(&farm), ERR_NONE);
    struct ending *ending = farm_run(&farm, "trap '' TERM; while :; do sleep 0.05; done");
    expect_status(ending, RESULT_TIMED_OUT, 0);
    cr_expect_geq(ending->outcome.duration_ns, 400 * NS_PER_MS);
    cr_expect_eq(farm.executor->class->deadline(farm.executor), NEVER);
    farm_close(&farm);
}

/* The pipe's end says that nobody of the group is left. */
Test(command, what_ignores_term_in_the_group_of_a_timed_out_task_dies_with_it)
{
    int held[2];
    cr_assert_eq(pipe2(held, 0), 0);
    struct farm farm = farm_of(true, NO_WORDS);
    farm.options.base.timeout_ns = 300 * NS_PER_MS;
    cr_assert_eq(farm_open(&farm), ERR_NONE);
    farm_start(&farm, 0, "(trap '' TERM; while :; do sleep 1; done) & wait");
    close(held[1]);
    farm_await(&farm, 1);
    expect_status(&farm.slots[0], RESULT_TIMED_OUT, 0);
    struct pollfd end = {.fd = held[0], .events = POLLIN};
    cr_expect_eq(poll(&end, 1, 10000), 1);
    farm_close(&farm);
}

Test(command, a_cancelled_task_has_no_result)
{
    OPEN_FARM(farm, true, NO_WORDS);
    const struct executor_class *class = farm.executor->class;
    uint64_t since_ns = 0, before_ns = clock_now_ns();
    farm_start(&farm, 0, "sleep 1000");
    cr_expect_eq(class->running(farm.executor, 0, &since_ns), 10);
    cr_expect_geq(since_ns, before_ns);
    cr_expect_eq(class->running(farm.executor, 1, &since_ns), 0);
    class->cancel(farm.executor, 1, 10, clock_now_ns());
    class->cancel(farm.executor, 0, 99, clock_now_ns());
    cr_expect_eq(class->deadline(farm.executor), NEVER, "no such task: nothing happens");
    class->cancel(farm.executor, 0, 10, clock_now_ns());
    farm_await(&farm, 1);
    cr_expect_eq(farm.slots[0].cancelled, 1);
    cr_expect_eq(farm.slots[0].finished, 0);
    cr_expect_eq(class->running(farm.executor, 0, &since_ns), 0);
    farm_close(&farm);
}

Test(command, a_child_of_others_is_not_taken)
{
    OPEN_FARM(farm, true, NO_WORDS);
    cr_expect_not(farm.executor->class->child_exited(farm.executor, getpid(), 0, clock_now_ns()));
    farm_close(&farm);
}

Test(command, a_nul_byte_makes_a_bad_task)
{
    OPEN_FARM(farm, false, WORDS("echo"));
    farm_start_task(&farm, 0, (struct bytes){(const uint8_t *)"a\0b", 3});
    cr_assert_eq(farm.endings, 1);
    expect_status(&farm.slots[0], RESULT_BAD_TASK, 0);
    expect_err(&farm.slots[0], "NUL byte");
    expect_out(farm_run(&farm, "next"), "next\n");
    farm_close(&farm);
}

Test(command, an_argument_that_is_too_long_makes_a_bad_task)
{
    OPEN_FARM(farm, false, WORDS("echo"));
    struct buf task = {0};
    memset(buf_reserve(&task, 1 << 20), 'x', 1 << 20);
    task.size = 1 << 20;
    farm_start_task(&farm, 0, buf_bytes(&task));
    cr_assert_eq(farm.endings, 1);
    expect_status(&farm.slots[0], RESULT_BAD_TASK, 0);
    expect_err(&farm.slots[0], "too long");
    buf_free(&task);
    farm_close(&farm);
}

static void expect_refused(char *const *words, enum error error, const char *part)
{
    struct farm farm = farm_of(false, words);
    cr_expect_eq(farm_open(&farm), error);
    cr_expect(strstr(farm.why.text, part), "%s", farm.why.text);
    cr_expect_null(farm.executor);
    close(farm.signals);
}

Test(command, a_command_that_is_not_there_is_refused_with_words)
{
    expect_refused(WORDS("no-such-program", "x"), ERR_NOT_FOUND, "no-such-program is not on PATH");
    expect_refused(WORDS("./no-such-program"), ERR_NOT_FOUND, "./no-such-program does not exist");
    expect_refused(WORDS("/etc/passwd"), ERR_ACCESS, "cannot be executed");
    expect_refused(WORDS("/etc"), ERR_ACCESS, "directory");
    expect_refused(NO_WORDS, ERR_INVALID, "COMMAND");
}

Test(command, a_command_line_in_one_word_is_refused_with_the_right_line)
{
    expect_refused(WORDS("echo a | wc"), ERR_INVALID, "write: zfarm run --shell 'echo a | wc'");
    expect_refused(WORDS("echo {}"), ERR_INVALID, "--shell 'echo {}' or zfarm run echo {}");
    expect_refused(WORDS("a;b"), ERR_INVALID, "zfarm run --shell 'a;b'");
}

/* A directory of its own for programs. */
static char *program_in(char directory[static 64], const char *name, const char *text)
{
    static char path[128];
    strcpy(directory, "/tmp/zfarm-test-XXXXXX");
    cr_assert(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "we");
    fputs(text, file);
    fclose(file);
    chmod(path, 0700);
    return path;
}

Test(command, one_word_with_blanks_that_is_a_program_is_run)
{
    char directory[64];
    char *path = program_in(directory, "my program", "#!/bin/sh\necho \"it ran with $1\"\n");
    OPEN_FARM(farm, false, WORDS(path));
    expect_out(farm_run(&farm, "x"), "it ran with x\n");
    unlink(path);
    rmdir(directory);
    farm_close(&farm);
}

Test(command, a_script_without_an_interpreter_line_is_run_by_sh)
{
    char directory[64];
    char *path = program_in(directory, "script", "echo \"ran $1 $2\"\n");
    OPEN_FARM(farm, false, WORDS(path, "a b", "{}"));
    expect_out(farm_run(&farm, "x"), "ran a b x\n");
    unlink(path);
    rmdir(directory);
    farm_close(&farm);
}

Test(command, a_program_that_goes_away_returns_the_task_and_is_broken)
{
    char directory[64];
    char *path = program_in(directory, "program", "#!/bin/sh\n");
    OPEN_FARM(farm, false, WORDS(path));
    expect_status(farm_run(&farm, "x"), RESULT_OK, 0);
    unlink(path);
    rmdir(directory);
    farm_run(&farm, "x");
    cr_expect_eq(farm.slots[0].returned, 1);
    cr_expect_eq(farm.broken, 1);
    cr_expect(strstr(farm.why.text, path) && strstr(farm.why.text, "No such file"));
    uint64_t since_ns;
    cr_expect_eq(farm.executor->class->running(farm.executor, 0, &since_ns), 0);
    farm_close(&farm);
}

Test(command, no_descriptors_left_returns_the_task_and_is_broken)
{
    OPEN_FARM(farm, false, WORDS("true"));
    int lowest = dup(0);
    close(lowest);
    struct rlimit limit = {(rlim_t)lowest + 3, (rlim_t)lowest + 3};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    farm_run(&farm, "x");
    cr_expect_eq(farm.slots[0].returned, 1);
    cr_expect_eq(farm.broken, 1);
    cr_expect(strstr(farm.why.text, "Too many open files"), "%s", farm.why.text);
    int again = dup(0);
    cr_expect_eq(again, lowest, "nothing is left open");
    farm_close(&farm);
}

Test(command, a_program_named_by_the_task_is_looked_for_each_time)
{
    OPEN_FARM(farm, false, WORDS("{}", "x"));
    expect_out(farm_run(&farm, "echo"), "x\n");
    struct ending *ending = farm_run(&farm, "no-such-program");
    expect_status(ending, RESULT_EXITED, 127);
    expect_err(ending, "zfarm: the command no-such-program is not on PATH");
    expect_status(farm_run(&farm, "/etc/passwd"), RESULT_EXITED, 126);
    cr_expect_eq(farm.broken, 0);
    farm_close(&farm);
}

Test(command, destroying_kills_what_runs_without_a_word)
{
    int held[2];
    cr_assert_eq(pipe2(held, 0), 0);
    OPEN_FARM(farm, true, NO_WORDS);
    farm_start(&farm, 0, "trap '' TERM; sleep 1000; sleep 1000");
    close(held[1]);
    farm_close(&farm);
    struct pollfd end = {.fd = held[0], .events = POLLIN};
    cr_expect_eq(poll(&end, 1, 10000), 1);
    cr_expect_eq(farm.endings, 0);
}

Test(command, thousands_of_tasks_leave_no_descriptor_behind)
{
    OPEN_FARM(farm, false, WORDS("true"));
    int lowest = dup(0);
    close(lowest);
    for (int i = 0; i < 1000; i++)
        farm_run(&farm, "x");
    int again = dup(0);
    cr_expect_eq(again, lowest);
    cr_expect_eq(farm.slots[0].finished, 1000);
    farm_close(&farm);
}
