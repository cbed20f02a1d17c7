/* SPDX-License-Identifier: MPL-2.0 */
#include "zfarm/dry_run.h"

#include <assert.h>
#include <poll.h>
#include <stdio.h>

#include "common/log.h"

enum { TASKS_AT_A_TIME = 4096, BYTES_AT_A_TIME = 1 << 20 };

static void print_tasks(struct expand *expand, struct bytes records, size_t tasks, uint64_t *seq)
{
    struct buf line = {0};
    for (size_t i = 0; i < tasks; i++) {
        struct expand_values values = {.seq = ++*seq, .slot = 1};
        enum error error = task_take(&records, &values.task);
        assert(!error); /* the source has just made it */
        buf_clear(&line);
        if (expand_line(expand, &values, &line)) {
            log_line("task %llu has a NUL byte: no command can be made of it",
                     (unsigned long long)*seq);
            continue;
        }
        buf_put_byte(&line, '\n');
        fwrite(line.data, 1, line.size, stdout);
    }
    buf_free(&line);
}

static int print_all(struct source *source, struct expand *expand)
{
    struct buf records = {0};
    struct why why;
    uint64_t seq = 0;
    for (;;) {
        size_t tasks = 0;
        buf_clear(&records);
        enum source_state state =
            source_take(source, &records, TASKS_AT_A_TIME, BYTES_AT_A_TIME, &tasks, &why);
        struct pollfd item = {.fd = source_fd(source), .events = POLLIN};
        if (state == SOURCE_TOOK)
            print_tasks(expand, buf_bytes(&records), tasks, &seq);
        else if (state == SOURCE_TOO_LARGE)
            log_line("task %llu is longer than --task-max", (unsigned long long)++seq);
        else if (state == SOURCE_WAIT)
            poll(&item, 1, -1);
        else {
            if (state == SOURCE_FAILED)
                log_line("%s", why.text);
            buf_free(&records);
            return state == SOURCE_FAILED ? 255 : 0;
        }
    }
}

int dry_run(const struct source_options *options, enum expand_mode mode, char *const *words,
            size_t word_count, const char *replacement)
{
    struct source *source = NULL;
    struct expand *expand = NULL;
    struct why why;
    int status = 255;
    enum error error =
        expand_new(&expand, mode, (const char *const *)words, word_count, replacement, &why);
    error = error ? error : source_open(&source, options, &why);
    if (error)
        log_line("%s", why.text);
    else
        status = print_all(source, expand);
    expand_free(&expand);
    source_close(&source);
    if (fflush(stdout))
        return 255;
    return status;
}
