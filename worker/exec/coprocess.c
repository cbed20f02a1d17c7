/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/exec/coprocess.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/words.h"
#include "common/base/xalloc.h"
#include "worker/exec/coprocess_slot.h"
#include "worker/exec/environment.h"
#include "worker/exec/executor_kind.h"
#include "worker/exec/guard.h"
#include "worker/exec/program.h"

enum { END_WITHIN_MS = 1000, EVENTS_MAX = 64 };

struct coprocess {
    struct executor base; /* first */
    struct coprocess_shared shared;
    struct words argv;
    char *path;
    struct coprocess_slot *slots;
};

static struct coprocess *coprocess_of(struct executor *executor)
{
    return (struct coprocess *)executor;
}

static const struct coprocess *coprocess_of_const(const struct executor *executor)
{
    return (const struct coprocess *)executor;
}

static void coprocess_start(struct executor *executor, const struct assignment *assignment,
                            uint64_t now_ns)
{
    struct coprocess *c = coprocess_of(executor);
    coprocess_slot_assign(&c->shared, &c->slots[assignment->slot], assignment, now_ns);
}

static void coprocess_cancel(struct executor *executor, unsigned slot, uint64_t seq,
                             uint64_t now_ns)
{
    coprocess_slot_cancel(&coprocess_of(executor)->slots[slot], seq, now_ns);
}

static void coprocess_hurry(struct executor *executor)
{
    struct coprocess *c = coprocess_of(executor);
    for (unsigned i = 0; i < c->shared.options.slots; i++)
        child_hurry(&c->slots[i].process);
}

static int coprocess_fd(const struct executor *executor)
{
    return coprocess_of_const(executor)->shared.epoll;
}

static void coprocess_turn(struct executor *executor, uint64_t now_ns)
{
    struct coprocess *c = coprocess_of(executor);
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(c->shared.epoll, events, EVENTS_MAX, 0);
    for (int i = 0; i < count; i++)
        coprocess_slot_serve(&c->shared, events[i].data.ptr, now_ns);
    for (unsigned i = 0; i < c->shared.options.slots; i++)
        coprocess_slot_turn(&c->shared, &c->slots[i], now_ns);
}

static uint64_t coprocess_deadline(const struct executor *executor)
{
    const struct coprocess *c = coprocess_of_const(executor);
    uint64_t first_ns = NEVER;
    if (c->shared.children.held_ns)
        return NEVER;
    for (unsigned i = 0; i < c->shared.options.slots; i++) {
        const struct coprocess_slot *slot = &c->slots[i];
        first_ns = slot->look_ns < first_ns ? slot->look_ns : first_ns;
        first_ns = slot->process.deadline_ns < first_ns ? slot->process.deadline_ns : first_ns;
    }
    return first_ns;
}

static void coprocess_child_was_stopped(struct executor *executor, pid_t pid, bool stopped)
{
    struct coprocess *c = coprocess_of(executor);
    for (unsigned i = 0; i < c->shared.options.slots; i++) {
        struct child *process = &c->slots[i].process;
        if (process->pid == pid && child_note_stopped(process, stopped))
            executor_tell_stopped(&c->shared.events, i, stopped);
    }
}

static bool coprocess_child_has_exited(struct executor *executor, pid_t pid, int status,
                                       uint64_t now_ns)
{
    struct coprocess *c = coprocess_of(executor);
    for (unsigned i = 0; i < c->shared.options.slots; i++)
        if (c->slots[i].process.pid == pid) {
            coprocess_child_was_stopped(executor, pid, false);
            coprocess_slot_exited(&c->shared, &c->slots[i], status, now_ns);
            return true;
        }
    return false;
}

static void coprocess_hold(struct executor *executor, uint64_t now_ns)
{
    children_hold(&coprocess_of(executor)->shared.children, now_ns);
}

static void coprocess_go(struct executor *executor, uint64_t now_ns)
{
    struct coprocess *c = coprocess_of(executor);
    uint64_t held_ns = c->shared.children.held_ns;
    children_go(&c->shared.children, now_ns);
    for (unsigned i = 0; held_ns && i < c->shared.options.slots; i++)
        coprocess_slot_put_off(&c->slots[i], held_ns, now_ns);
}

static uint64_t coprocess_running(const struct executor *executor, unsigned slot,
                                  uint64_t *since_ns)
{
    return coprocess_slot_running(&coprocess_of_const(executor)->slots[slot], since_ns);
}

/* Those that are idle end when their input does. */
static void coprocess_end_children(struct coprocess *c)
{
    uint64_t until_ns = clock_now_ns() + END_WITHIN_MS * NS_PER_MS;
    for (unsigned i = 0; i < c->shared.options.slots; i++)
        coprocess_slot_hang_up(&c->slots[i]);
    for (unsigned i = 0; i < c->shared.options.slots; i++) {
        pid_t pid = c->slots[i].process.pid;
        if (pid)
            child_await_end(pid, until_ns);
        coprocess_slot_free(&c->slots[i]);
        if (pid)
            waitpid(pid, NULL, 0);
    }
}

static void free_parts(struct coprocess *c)
{
    children_close(&c->shared.children);
    if (c->shared.epoll >= 0)
        close(c->shared.epoll);
    environment_free(&c->shared.environment);
    free(c->shared.chunk);
    words_free(&c->argv);
    free(c->path);
    free(c->slots);
    free(c);
}

static void coprocess_destroy(struct executor **executor)
{
    if (!*executor)
        return;
    coprocess_end_children(coprocess_of(*executor));
    free_parts(coprocess_of(*executor));
    *executor = NULL;
}

static const struct executor_class coprocess_class = {.batch_max = COPROCESS_BATCH_MAX,
                                                      .start = coprocess_start,
                                                      .cancel = coprocess_cancel,
                                                      .hurry = coprocess_hurry,
                                                      .fd = coprocess_fd,
                                                      .turn = coprocess_turn,
                                                      .deadline = coprocess_deadline,
                                                      .child_exited = coprocess_child_has_exited,
                                                      .child_stopped = coprocess_child_was_stopped,
                                                      .hold = coprocess_hold,
                                                      .go = coprocess_go,
                                                      .running = coprocess_running,
                                                      .destroy = coprocess_destroy};

/* COMMAND as it is, or sh -c and its words with blanks between. */
static enum error coprocess_make_argv(struct coprocess *c, const struct executor_options *options,
                                      struct why *why)
{
    if (!options->words || !options->words[0])
        return fail(why, ERR_INVALID,
                    "--coprocess needs a COMMAND, which reads tasks line by line");
    if (!options->shell) {
        words_add_all(&c->argv, options->words);
        return program_find(options->words[0], &c->path, why);
    }
    struct buf line = {0};
    for (char *const *word = options->words; *word; word++) {
        buf_put_text(&line, word == options->words ? "" : " ");
        buf_put_text(&line, *word);
    }
    buf_put_byte(&line, '\0');
    c->path = xstrdup("/bin/sh");
    words_add(&c->argv, "/bin/sh");
    words_add(&c->argv, "-c");
    words_take(&c->argv, (char *)line.data);
    return ERR_NONE;
}

static enum error coprocess_open_shared(struct coprocess_shared *shared,
                                        const struct executor_options *options,
                                        const struct executor_events *events, struct why *why)
{
    *shared = (struct coprocess_shared){
        .options = *options,
        .limit = {.timeout = options->timeout},
        .events = *events,
        .limits = {.tmpdir = options->tmpdir, .output_max = options->output_max},
        .patience_ns = options->patience_ns,
        .end = options->null ? '\0' : '\n'};
    shared->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (shared->epoll < 0)
        return fail(why, ERR_IO, "cannot make an epoll descriptor: %s", strerror(errno));
    enum error error = children_open(&shared->children, options, options->guard, why);
    if (error) {
        close(shared->epoll);
        return error;
    }
    shared->environment =
        environment_new(options->worker, options->guard ? guard_mark(options->guard) : NULL);
    shared->chunk = xmalloc(COPROCESS_CHUNK);
    return ERR_NONE;
}

static enum error coprocess_make(const struct executor_options *options,
                                 const struct executor_events *events, struct executor **executor,
                                 struct why *why)
{
    assert(options->slots);
    struct coprocess *c = xcalloc(1, sizeof *c);
    enum error error = coprocess_make_argv(c, options, why);
    error = error ? error : coprocess_open_shared(&c->shared, options, events, why);
    if (error) {
        words_free(&c->argv);
        free(c->path);
        free(c);
        return error;
    }
    c->base.class = &coprocess_class;
    c->shared.path = c->path;
    c->shared.argv = c->argv.items;
    c->slots = xcalloc(options->slots, sizeof *c->slots);
    for (unsigned i = 0; i < options->slots; i++) {
        coprocess_slot_init(&c->shared, &c->slots[i], i);
        coprocess_slot_start_child(&c->shared, &c->slots[i], clock_now_ns());
    }
    *executor = &c->base;
    return ERR_NONE;
}

const struct executor_kind coprocess_kind = {.make = coprocess_make};
