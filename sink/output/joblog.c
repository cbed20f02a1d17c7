/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/output/joblog.h"

#include <inttypes.h>
#include <signal.h>

#include "common/base/clock.h"
#include "common/base/shown.h"

void joblog_put_header(struct buf *to)
{
    buf_put_text(to, "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n");
}

static void replace_newlines(struct buf *to, size_t from)
{
    for (size_t i = from; i < to->size; i++)
        if (to->data[i] == '\n')
            to->data[i] = '\0';
}

static size_t task_size(struct task task)
{
    size_t size = 0, at = 0;
    struct bytes arg;
    while (task_next_arg(task, &at, &arg))
        size += arg.size + 1; /* and a blank between two */
    return size - 1;
}

void joblog_put(struct buf *to, const struct result *r)
{
    struct bytes record = r->task;
    struct task task = {0};
    bool has_task = r->task.size && task_take(&record, &task) == ERR_NONE;
    bool exited = r->status == RESULT_OK || r->status == RESULT_EXITED;
    int exit = exited ? (int)r->code : r->status == RESULT_SIGNALED ? 0 : -1;
    unsigned ended_by = r->status == RESULT_SIGNALED    ? r->code
                        : r->status == RESULT_TIMED_OUT ? SIGTERM
                                                        : 0;
    buf_printf(to, "%" PRIu64 "\t", r->seq);
    shown_put(to, r->worker.size ? r->worker : bytes_of(":"));
    buf_printf(to, "\t%" PRIu64 ".%03" PRIu64, r->start_us / 1000000, r->start_us / 1000 % 1000);
    buf_printf(to, "\t%10.3f", (double)r->duration_ns / (double)NS_PER_S);
    buf_printf(to, "\t%zu\t%zu", has_task ? task_size(task) : 0, r->out.size + r->err.size);
    buf_printf(to, "\t%d\t%u\t", exit, ended_by);
    size_t from = to->size;
    if (r->command.size)
        buf_put_bytes(to, r->command);
    else if (has_task)
        task_join(task, to);
    replace_newlines(to, from);
    buf_put_byte(to, '\n');
}
