/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/exec/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/bytes.h"
#include "common/base/xalloc.h"
#include "worker/exec/drain.h"
#include "worker/exec/guard_order.h"
#include "worker/exec/helper_process.h"

enum { MARK_SIZE = sizeof "ZFARM_MARK=" + 32 };

struct guard {
    int pipe;
    pid_t pid;
    struct drain *drain;
    char mark[MARK_SIZE];
    struct buf orders; /* guard_order: collected, or not taken by the pipe yet */
};

enum error guard_new(struct guard **result, const char *program, struct why *why)
{
    struct guard *guard = xcalloc(1, sizeof *guard);
    uint64_t random[2];
    int ends[2] = {-1, -1}, error = 0;
    if (getrandom(random, sizeof random, 0) != sizeof random || pipe2(ends, O_CLOEXEC) ||
        fcntl(ends[1], F_SETFL, O_NONBLOCK))
        error = errno;
    if (!error) {
        snprintf(guard->mark, MARK_SIZE, "ZFARM_MARK=%016" PRIx64 "%016" PRIx64, random[0],
                 random[1]);
        char name[] = "zfarm-guard", flag[] = GUARD_FLAG;
        char *argv[] = {name, flag, guard->mark, NULL};
        error = helper_process_start(program, argv, "guard", ends[0], &guard->pid);
    }
    if (ends[0] >= 0)
        close(ends[0]);
    if (error) {
        if (ends[1] >= 0)
            close(ends[1]);
        free(guard);
        return fail(why, ERR_IO, "cannot start %s as the guard of this worker's processes: %s",
                    program, strerror(error));
    }
    guard->pipe = ends[1];
    guard->drain = drain_new(program);
    *result = guard;
    return ERR_NONE;
}

const char *guard_mark(const struct guard *guard)
{
    return guard->mark;
}

pid_t guard_pid(const struct guard *guard)
{
    return guard->pid;
}

struct drain *guard_drain(const struct guard *guard)
{
    return guard->drain;
}

static void put_order(struct guard *guard, guard_order order)
{
    buf_put(&guard->orders, &order, sizeof order);
}

void guard_add(struct guard *guard, pid_t group)
{
    put_order(guard, group);
}

/* A group that came and went between two flushes, or while the guard was not reading, need not be
 * told: so what is collected is never more than a few orders a slot. Counted from the end, where an
 * order is always whole. */
static bool withdraw_order(struct guard *guard, pid_t group)
{
    struct buf *orders = &guard->orders;
    guard_order order;
    for (size_t behind = 0; orders->size - behind >= sizeof order; behind += sizeof order) {
        uint8_t *at = orders->data + orders->size - behind - sizeof order;
        memcpy(&order, at, sizeof order);
        if (order == group) {
            memmove(at, at + sizeof order, behind);
            orders->size -= sizeof order;
            return true;
        }
    }
    return false;
}

void guard_remove(struct guard *guard, pid_t group)
{
    if (!withdraw_order(guard, group))
        put_order(guard, -group);
}

void guard_flush(struct guard *guard)
{
    if (!guard->orders.size)
        return;
    ssize_t written = write(guard->pipe, guard->orders.data, guard->orders.size);
    if (written > 0)
        buf_drop_front(&guard->orders, (size_t)written);
    else if (written < 0 && errno == EPIPE)
        buf_clear(&guard->orders); /* it is gone; there is nobody to tell */
}

void guard_destroy(struct guard **handle)
{
    struct guard *guard = *handle;
    *handle = NULL;
    if (!guard)
        return;
    /* The guard empties its pipe within GUARD_NAP_MS, so blocking here is short. */
    fcntl(guard->pipe, F_SETFL, 0);
    put_order(guard, GUARD_GOODBYE);
    while (guard->orders.size)
        guard_flush(guard);
    close(guard->pipe);
    while (waitpid(guard->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    drain_destroy(&guard->drain);
    buf_free(&guard->orders);
    free(guard);
}
