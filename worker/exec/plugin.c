/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/exec/plugin.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/xalloc.h"
#include "worker/exec/environment.h"
#include "worker/exec/executor_kind.h"
#include "worker/exec/guard.h"
#include "worker/exec/plugin_host.h"
#include "worker/exec/plugin_slot.h"

enum { BATCH_MAX = 4096, LOADED_WITHIN_MS = 10000, DESTROYED_WITHIN_MS = 1000, EVENTS_MAX = 64 };

struct plugin {
    struct executor base; /* first */
    struct plugin_shared shared;
    struct plugin_slot *slots;
};

static struct plugin *plugin_of(struct executor *executor)
{
    return (struct plugin *)executor;
}

static const struct plugin *plugin_of_const(const struct executor *executor)
{
    return (const struct plugin *)executor;
}

static void plugin_start(struct executor *executor, const struct assignment *assignment,
                         uint64_t now_ns)
{
    struct plugin *plugin = plugin_of(executor);
    assert(assignment->slot < plugin->shared.options.slots && assignment->count <= BATCH_MAX);
    plugin_slot_assign(&plugin->shared, &plugin->slots[assignment->slot], assignment, now_ns);
}

static void plugin_cancel(struct executor *executor, unsigned slot, uint64_t seq, uint64_t now_ns)
{
    plugin_slot_cancel(&plugin_of(executor)->slots[slot], seq, now_ns);
}

/* A plugin's process is killed with KILL from the first. */
static void plugin_hurry(struct executor *executor)
{
    (void)executor;
}

static int plugin_fd(const struct executor *executor)
{
    return plugin_of_const(executor)->shared.epoll;
}

static void plugin_turn(struct executor *executor, uint64_t now_ns)
{
    struct plugin *plugin = plugin_of(executor);
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(plugin->shared.epoll, events, EVENTS_MAX, 0);
    for (int i = 0; i < count; i++) {
        struct plugin_slot *slot = events[i].data.ptr;
        if (events[i].events & EPOLLOUT)
            plugin_slot_flush(&plugin->shared, slot);
        if (events[i].events & ~(uint32_t)EPOLLOUT)
            plugin_slot_hear(&plugin->shared, slot, now_ns);
    }
    for (unsigned i = 0; i < plugin->shared.options.slots; i++)
        plugin_slot_turn(&plugin->shared, &plugin->slots[i], now_ns);
}

static uint64_t plugin_deadline(const struct executor *executor)
{
    const struct plugin *plugin = plugin_of_const(executor);
    uint64_t first_ns = NEVER;
    if (plugin->shared.children.held_ns)
        return NEVER;
    for (unsigned i = 0; i < plugin->shared.options.slots; i++)
        if (plugin->slots[i].look_ns < first_ns)
            first_ns = plugin->slots[i].look_ns;
    return first_ns;
}

static void plugin_child_was_stopped(struct executor *executor, pid_t pid, bool stopped)
{
    struct plugin *plugin = plugin_of(executor);
    for (unsigned i = 0; i < plugin->shared.options.slots; i++) {
        struct child *process = &plugin->slots[i].child.process;
        if (process->pid == pid && child_note_stopped(process, stopped))
            executor_tell_stopped(&plugin->shared.events, i, stopped);
    }
}

static bool plugin_child_has_exited(struct executor *executor, pid_t pid, int status,
                                    uint64_t now_ns)
{
    struct plugin *plugin = plugin_of(executor);
    for (unsigned i = 0; i < plugin->shared.options.slots; i++)
        if (plugin->slots[i].child.process.pid == pid) {
            plugin_child_was_stopped(executor, pid, false);
            plugin_slot_exited(&plugin->shared, &plugin->slots[i], status, now_ns);
            return true;
        }
    return false;
}

static void plugin_hold(struct executor *executor, uint64_t now_ns)
{
    children_hold(&plugin_of(executor)->shared.children, now_ns);
}

static void plugin_go(struct executor *executor, uint64_t now_ns)
{
    struct plugin *plugin = plugin_of(executor);
    uint64_t held_ns = plugin->shared.children.held_ns;
    children_go(&plugin->shared.children, now_ns);
    for (unsigned i = 0; held_ns && i < plugin->shared.options.slots; i++)
        plugin_slot_put_off(&plugin->slots[i], held_ns, now_ns);
}

static uint64_t plugin_running(const struct executor *executor, unsigned slot, uint64_t *since_ns)
{
    return plugin_slot_running(&plugin_of_const(executor)->slots[slot], since_ns);
}

/* An idle child calls zfarm_destroy when its link is closed; the others are in the plugin's hands.
 */
static void plugin_end_children(struct plugin *plugin)
{
    uint64_t until_ns = clock_now_ns() + DESTROYED_WITHIN_MS * NS_PER_MS;
    for (unsigned i = 0; i < plugin->shared.options.slots; i++) {
        if (plugin->slots[i].state == SLOT_IDLE)
            plugin_child_hang_up(&plugin->slots[i].child);
        else
            plugin_child_kill(&plugin->slots[i].child);
    }
    for (unsigned i = 0; i < plugin->shared.options.slots; i++) {
        pid_t pid = plugin->slots[i].child.process.pid;
        if (pid)
            child_await_end(pid, until_ns);
        plugin_slot_free(&plugin->slots[i]);
        if (pid)
            waitpid(pid, NULL, 0);
    }
}

static void plugin_destroy(struct executor **executor)
{
    if (!*executor)
        return;
    struct plugin *plugin = plugin_of(*executor);
    plugin_end_children(plugin);
    children_close(&plugin->shared.children);
    close(plugin->shared.epoll);
    environment_free(&plugin->shared.environment);
    free(plugin->shared.argv[PLUGIN_HOST_OUTPUT_MAX]);
    free(plugin->shared.argv[PLUGIN_HOST_FILE]);
    free(plugin->shared.argv);
    free(plugin->slots);
    free(plugin);
    *executor = NULL;
}

static const struct executor_class plugin_class = {.batch_max = BATCH_MAX,
                                                   .start = plugin_start,
                                                   .cancel = plugin_cancel,
                                                   .hurry = plugin_hurry,
                                                   .fd = plugin_fd,
                                                   .turn = plugin_turn,
                                                   .deadline = plugin_deadline,
                                                   .child_exited = plugin_child_has_exited,
                                                   .child_stopped = plugin_child_was_stopped,
                                                   .hold = plugin_hold,
                                                   .go = plugin_go,
                                                   .running = plugin_running,
                                                   .destroy = plugin_destroy};

/* The command line of a child; the slot's number is filled in when it is started. */
static char **plugin_make_argv(const struct executor_options *options)
{
    size_t args = 0;
    while (options->words && options->words[args])
        args++;
    char **argv = xcalloc(PLUGIN_HOST_ARGS + args + 1, sizeof *argv);
    argv[0] = (char *)(uintptr_t)options->program;
    argv[PLUGIN_HOST_FLAG_AT] = (char *)(uintptr_t)PLUGIN_HOST_FLAG;
    argv[PLUGIN_HOST_OUTPUT_MAX] = xasprintf("%llu", (unsigned long long)options->output_max);
    argv[PLUGIN_HOST_FILE] =
        xasprintf("%s%s", strchr(options->plugin, '/') ? "" : "./", options->plugin);
    for (size_t i = 0; i < args; i++)
        argv[PLUGIN_HOST_ARGS + i] = options->words[i];
    return argv;
}

/* Takes the reports of a child that was just started, until it has loaded the plugin. */
static enum error wait_until_loaded(struct plugin_child *child, const char *file, struct why *why)
{
    uint64_t until_ns = clock_now_ns() + LOADED_WITHIN_MS * NS_PER_MS;
    enum plugin_report_kind kind;
    while ((kind = plugin_child_receive(child)) == PLUGIN_NOTHING) {
        struct pollfd link = {.fd = child->link, .events = POLLIN};
        uint64_t now_ns = clock_now_ns();
        if (now_ns >= until_ns)
            return fail(why, ERR_IO, "the plugin %s was not loaded within %d s", file,
                        LOADED_WITHIN_MS / 1000);
        poll(&link, 1, (int)((until_ns - now_ns) / NS_PER_MS) + 1);
    }
    if (kind == PLUGIN_LOADED)
        return ERR_NONE;
    if (kind == PLUGIN_UNUSABLE)
        return fail(why, ERR_INVALID, "%s", child->words.text);
    return fail(why, ERR_IO, "the process that was to load the plugin %s ended while it did so",
                file);
}

static enum error start_children(struct plugin *plugin, struct why *why)
{
    struct plugin_slot *first = &plugin->slots[0];
    for (unsigned i = 0; i < plugin->shared.options.slots; i++)
        plugin_slot_start_child(&plugin->shared, &plugin->slots[i], clock_now_ns());
    if (first->state != SLOT_STARTING)
        return fail(why, ERR_IO, "%s", first->why.text);
    return wait_until_loaded(&first->child, plugin->shared.argv[PLUGIN_HOST_FILE], why);
}

static enum error plugin_open_shared(struct plugin_shared *shared,
                                     const struct executor_options *options,
                                     const struct executor_events *events, struct why *why)
{
    *shared = (struct plugin_shared){
        .options = *options,
        .events = *events,
        .limits = {.tmpdir = options->tmpdir, .output_max = options->output_max},
        .limit = {.timeout = options->timeout},
        .patience_ns = options->patience_ns,
        .program = options->program};
    enum error error = children_open(&shared->children, options, options->guard, why);
    if (error)
        return error;
    shared->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (shared->epoll < 0) {
        error = fail(why, ERR_IO, "cannot make an epoll descriptor: %s", strerror(errno));
        children_close(&shared->children);
        return error;
    }
    shared->environment =
        environment_new(options->worker, options->guard ? guard_mark(options->guard) : NULL);
    shared->argv = plugin_make_argv(options);
    return ERR_NONE;
}

static enum error plugin_make(const struct executor_options *options,
                              const struct executor_events *events, struct executor **executor,
                              struct why *why)
{
    assert(options->slots);
    struct plugin *plugin = xcalloc(1, sizeof *plugin);
    plugin->base.class = &plugin_class;
    enum error error = plugin_open_shared(&plugin->shared, options, events, why);
    if (error) {
        free(plugin);
        return error;
    }
    plugin->slots = xcalloc(options->slots, sizeof *plugin->slots);
    for (unsigned i = 0; i < options->slots; i++)
        plugin_slot_init(&plugin->shared, &plugin->slots[i], i);
    struct executor *made = &plugin->base;
    error = start_children(plugin, why);
    if (error)
        plugin_destroy(&made);
    else
        *executor = made;
    return error;
}

const struct executor_kind plugin_kind = {.make = plugin_make};
