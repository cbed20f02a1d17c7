/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>

#include "common/wire/result.h"

/* Records of tasks and of results, one behind the other: what can be taken is put again and taken
 * once more, and that must give the same record. The first octet chooses. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARGS_MAX = 64 };

static void put_again(struct buf *to, struct task task)
{
    struct bytes args[ARGS_MAX];
    size_t count = 0, at = 0;
    while (count < ARGS_MAX && task_next_arg(task, &at, &args[count]))
        count++;
    task_put_args(to, args, count);
}

static void try_task(struct task task)
{
    struct buf joined = {0}, record = {0};
    size_t args = task_arg_count(task);
    assert(args >= 1 && (args == 1 || task.many));
    task_join(task, &joined);
    assert(joined.size <= task.body.size);
    if (args <= ARGS_MAX) {
        put_again(&record, task);
        struct bytes records = buf_bytes(&record);
        struct task again;
        enum error error = task_take(&records, &again);
        assert(!error && records.size == 0 && task_arg_count(again) == args);
    }
    buf_free(&joined);
    buf_free(&record);
}

static void try_result(const struct result *result)
{
    struct buf record = {0}, twice = {0};
    struct result again = {0};
    result_put(&record, result);
    struct bytes records = buf_bytes(&record);
    enum error error = result_take(&records, &again);
    assert(!error && records.size == 0);
    result_put(&twice, &again);
    assert(bytes_equal(buf_bytes(&record), buf_bytes(&twice)));
    buf_free(&record);
    buf_free(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct bytes tasks = {data + 1, size - 1}, results = tasks;
    struct task task;
    struct result result = {0};
    if (data[0] & 1)
        while (!task_take(&tasks, &task))
            try_task(task);
    else
        while (!result_take(&results, &result))
            try_result(&result);
    return 0;
}
