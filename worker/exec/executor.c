/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/exec/executor.h"

#include "worker/exec/executor_kind.h"

enum error executor_new(const struct executor_kind *kind, const struct executor_options *options,
                        const struct executor_events *events, struct executor **executor,
                        struct why *why)
{
    return kind->make(options, events, executor, why);
}

void executor_destroy(struct executor **executor)
{
    if (*executor)
        (*executor)->class->destroy(executor);
}

uint32_t executor_batch_max(const struct executor *executor)
{
    return executor->class->batch_max;
}

void executor_start(struct executor *executor, const struct assignment *assignment, uint64_t now_ns)
{
    executor->class->start(executor, assignment, now_ns);
}

void executor_cancel(struct executor *executor, unsigned slot, uint64_t seq, uint64_t now_ns)
{
    executor->class->cancel(executor, slot, seq, now_ns);
}

void executor_hurry(struct executor *executor)
{
    executor->class->hurry(executor);
}

int executor_fd(const struct executor *executor)
{
    return executor->class->fd(executor);
}

void executor_turn(struct executor *executor, uint64_t now_ns)
{
    executor->class->turn(executor, now_ns);
}

uint64_t executor_deadline(const struct executor *executor)
{
    return executor->class->deadline(executor);
}

bool executor_child_exited(struct executor *executor, pid_t pid, int status, uint64_t now_ns)
{
    return executor->class->child_exited(executor, pid, status, now_ns);
}

void executor_child_stopped(struct executor *executor, pid_t pid, bool stopped)
{
    executor->class->child_stopped(executor, pid, stopped);
}

void executor_hold(struct executor *executor, uint64_t now_ns)
{
    executor->class->hold(executor, now_ns);
}

void executor_go(struct executor *executor, uint64_t now_ns)
{
    executor->class->go(executor, now_ns);
}

uint64_t executor_running(const struct executor *executor, unsigned slot, uint64_t *since_ns)
{
    return executor->class->running(executor, slot, since_ns);
}
