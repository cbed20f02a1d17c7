/* SPDX-License-Identifier: MPL-2.0 */
#include "zfarm/dry_run.h"

#include <stdio.h>

#include "common/base/log.h"
#include "zfarm/tasks.h"

struct printing {
    struct expand *expand;
    size_t task_max;
    struct buf line;
};

static enum error print_task(void *context, uint64_t seq, const struct task *task, struct why *why)
{
    struct printing *p = context;
    (void)why;
    if (!task) {
        log_line("task %llu is longer than --task-max, which is %zu bytes", (unsigned long long)seq,
                 p->task_max);
        return ERR_NONE;
    }
    struct expand_values values = {.task = *task, .seq = seq, .slot = 1};
    buf_clear(&p->line);
    if (expand_line(p->expand, &values, &p->line)) {
        log_line("task %llu has a NUL byte: no command can be made of it", (unsigned long long)seq);
        return ERR_NONE;
    }
    buf_put_byte(&p->line, '\n');
    fwrite(p->line.data, 1, p->line.size, stdout);
    return ERR_NONE;
}

int dry_run(const struct source_options *source, enum expand_mode mode, char *const *words,
            size_t word_count, const char *replacement)
{
    struct printing p = {.task_max = source->task_max};
    struct why why;
    enum error error =
        expand_new(&p.expand, mode, (const char *const *)words, word_count, replacement, &why);
    error = error ? error : tasks_read(source, print_task, &p, &why);
    if (error)
        log_line("%s", why.text);
    expand_free(&p.expand);
    buf_free(&p.line);
    return fflush(stdout) || error ? 255 : 0;
}
