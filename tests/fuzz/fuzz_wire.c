/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>

#include "common/wire/print.h"
#include "tests/decoded.h"

/* A frame from a stranger, of any kind. What can be read is written and read once more, and that
 * must give the same octets again: nothing is lost or made up on the way. Printed it is one line, of which a
 * terminal obeys nothing. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Returns false if the body cannot be read. */
static bool rewrite(const struct layout *layout, struct bytes body, struct buf *to)
{
    union decoded m;
    bool good = decoded_take(&m, layout, body) == ERR_NONE;
    if (good)
        layout_put(to, layout, &m);
    layout_free(layout, &m);
    return good;
}

static void try_message(const struct layout *layout, struct bytes body)
{
    struct buf once = {0}, twice = {0};
    if (rewrite(layout, body, &once)) {
        bool good = rewrite(layout, buf_bytes(&once), &twice);
        assert(good && bytes_equal(buf_bytes(&once), buf_bytes(&twice)));
    }
    buf_free(&once);
    buf_free(&twice);
}

static void try_tasks(struct bytes body)
{
    uint64_t batch;
    struct bytes runs;
    struct task_run run;
    enum error error = tasks_take(body, &batch, &runs);
    while (!error && runs.size) {
        error = task_run_take(&runs, &run);
        if (error)
            break;
        struct bytes records = run.records;
        error = task_skip(&records, run.flags & TASK_PIECES ? 0 : run.count);
        assert(!error && records.size == 0);
        struct buf once = {0};
        struct task_run again;
        task_run_put(&once, &run);
        struct bytes written = buf_bytes(&once);
        error = task_run_take(&written, &again);
        assert(!error && written.size == 0 && bytes_equal(run.records, again.records));
        buf_free(&once);
    }
}

static void try_results(struct bytes body)
{
    struct results_head head;
    struct bytes runs;
    struct result_run run;
    struct result result;
    enum error error = results_take(body, &head, &runs);
    while (!error && runs.size) {
        error = result_run_take(&runs, &run);
        for (uint64_t i = 0; !error && i < run.count; i++)
            error = result_take(&run.records, &result);
    }
}

static void try_print(struct bytes message)
{
    struct buf line = {0};
    wire_print(&line, message);
    for (size_t i = 0; i < line.size; i++)
        assert(line.data[i] >= ' ' && line.data[i] != 0x7f);
    buf_free(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frame_head head;
    struct bytes body;
    try_print((struct bytes){data, size});
    if (frame_take((struct bytes){data, size}, &head, &body))
        return 0;
    const struct layout *layout = wire_layout(head.kind, body);
    if (layout)
        try_message(layout, body);
    uint64_t number;
    enum wire_role role;
    if (head.kind == KIND_TASKS)
        try_tasks(body);
    if (head.kind == KIND_RESULTS)
        try_results(body);
    if (!number_take(body, &number) && !join_role(body, &role))
        assert(number == role);
    return 0;
}
