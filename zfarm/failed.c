/* SPDX-License-Identifier: MPL-2.0 */
#include "zfarm/failed.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#include "common/cli/cli.h"
#include "common/base/log.h"
#include "common/base/shown.h"
#include "sink/output/failures.h"
#include "sink/output/jsonl.h"
#include "sink/store/store_view.h"

static void failed_put_line(struct buf *to, const struct store_row *row, struct task task)
{
    struct buf joined = {0};
    buf_printf(to, "%" PRIu64 "\t", row->seq);
    failure_put_way(to, row->status, row->code);
    buf_printf(to, "\t%" PRIu64 "\t", row->attempts);
    shown_put(to, row->worker.size ? row->worker : bytes_of(":"));
    buf_put_byte(to, '\t');
    if (task.body.size)
        task_join(task, &joined);
    shown_put(to, buf_bytes(&joined));
    buf_put_byte(to, '\n');
    buf_free(&joined);
}

static void put_alone(struct buf *to, const struct store_row *row, struct task task)
{
    if (!row->record.size) {
        log_line("task %" PRIu64 " is not printed: its text is not stored", row->seq);
        return;
    }
    struct bytes arg;
    for (size_t at = 0; task_next_arg(task, &at, &arg);) {
        buf_put_bytes(to, arg);
        buf_put_byte(to, '\0');
    }
}

static void put_row(struct buf *to, const struct farm_options *o, struct store_view *view,
                    const struct store_row *row)
{
    struct bytes rest = row->record;
    struct task task = {0};
    if (rest.size)
        task_take(&rest, &task); /* the view has looked */
    if (o->null) {
        put_alone(to, row, task);
    } else if (o->format == FORMAT_JSONL) {
        struct result result;
        store_view_result(view, row, &result);
        jsonl_put(to, &result, (struct bytes){0});
    } else {
        failed_put_line(to, row, task);
    }
}

static enum error list(const struct farm_options *o, struct store_view *view, struct why *why)
{
    struct store_row row;
    struct buf line = {0};
    bool found = true;
    enum error error = ERR_NONE;
    while (!(error = store_view_next(view, &row, &found, why)) && found) {
        if (row.status == RESULT_OK)
            continue;
        buf_clear(&line);
        put_row(&line, o, view, &row);
        if (line.size && fwrite(line.data, 1, line.size, stdout) < line.size)
            break; /* the reader has enough */
    }
    buf_free(&line);
    return error;
}

static int failed_list(const struct farm_options *options, const struct options *given)
{
    if (given->word_count != 1) {
        log_line("it takes one store: zfarm failed FILE.db");
        return 255;
    }
    struct store_view *view;
    struct store_job job;
    struct why why;
    enum error error = store_view_open(&view, given->words[0], &job, &why);
    error = error ? error : list(options, view, &why);
    store_view_close(&view);
    if (error)
        log_line("%s", why.text);
    return fflush(stdout) || error ? 255 : 0;
}

int failed_main(int argc, char **argv)
{
    return cli_main(FARM_FAILED, argc, argv, failed_list);
}
