/* SPDX-License-Identifier: MPL-2.0 */
#include "zfarm/tasks.h"

#include <assert.h>
#include <poll.h>

enum { TASKS_AT_A_TIME = 4096, BYTES_AT_A_TIME = 1 << 20 };

struct taking {
    tasks_fn *take;
    void *context;
    uint64_t seq; /* of the last task */
};

static enum error take_records(struct taking *t, struct bytes records, size_t tasks,
                               struct why *why)
{
    enum error error = ERR_NONE;
    for (size_t i = 0; i < tasks && !error; i++) {
        struct task task;
        enum error taken = task_take(&records, &task);
        assert(!taken); /* the source has just made it */
        error = t->take(t->context, ++t->seq, &task, why);
    }
    return error;
}

static enum error take_all(struct source *source, struct taking *t, struct buf *records,
                           struct why *why)
{
    enum error error = ERR_NONE;
    while (!error) {
        size_t tasks = 0;
        buf_clear(records);
        switch (source_take(source, records, TASKS_AT_A_TIME, BYTES_AT_A_TIME, &tasks, why)) {
        case SOURCE_TOOK:
            error = take_records(t, buf_bytes(records), tasks, why);
            break;
        case SOURCE_TOO_LARGE:
            error = t->take(t->context, ++t->seq, NULL, why);
            break;
        case SOURCE_WAIT:
            poll(&(struct pollfd){.fd = source_fd(source), .events = POLLIN}, 1, -1);
            break;
        case SOURCE_END:
            return ERR_NONE;
        case SOURCE_FAILED:
            return ERR_IO;
        }
    }
    return error;
}

enum error tasks_read(const struct source_options *options, tasks_fn *take, void *context,
                      struct why *why)
{
    struct source *source = NULL;
    struct taking taking = {take, context, 0};
    struct buf records = {0};
    enum error error = source_open(&source, options, why);
    if (error)
        return error;
    error = take_all(source, &taking, &records, why);
    buf_free(&records);
    source_close(&source);
    return error;
}
