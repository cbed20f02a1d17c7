/* SPDX-License-Identifier: MPL-2.0 */
#include "zfarm/verify.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/cli/cli.h"
#include "common/cli/farm_input.h"
#include "common/base/log.h"
#include "common/base/shown.h"
#include "sink/output/failures.h"
#include "sink/store/store_view.h"
#include "zfarm/tasks.h"

enum { SHOWN_MAX = 60 };

/* Numbers and the first of them. */
struct count {
    uint64_t tasks, first;
};

struct verification {
    const struct farm_options *options;
    bool has_input;
    size_t task_max;
    struct store_job job;
    struct store_view *view;
    struct store_row row; /* the next that is not compared */
    bool has_row;
    bool knows_given;
    uint64_t given; /* tasks; at least, if it is not known */
    uint64_t results, by_status[RESULT_STATUS_COUNT];
    struct failures failures;
    struct count missing, differing, beyond;
    struct buf shown; /* the first task of the input that differs */
};

static void verify_count(struct count *c, uint64_t seq, uint64_t tasks)
{
    if (tasks && !c->tasks)
        c->first = seq;
    c->tasks += tasks;
}

/* ---- walking ---- */

static enum error next_row(struct verification *a, struct why *why)
{
    enum error error = store_view_next(a->view, &a->row, &a->has_row, why);
    if (!error && a->has_row) {
        a->results++;
        a->by_status[a->row.status]++;
        failures_note(&a->failures, a->row.seq, a->row.status, a->row.code);
    }
    return error;
}

/* Ready to be read again: with -n the values one by one, as they came; columns behind a tab. */
static void print_missing(const struct verification *a, uint64_t seq, const struct task *task)
{
    if (!task) {
        log_line("task %" PRIu64 " has no result and is not printed: it is longer than --task-max, "
                 "which is %zu bytes",
                 seq, a->task_max);
        return;
    }
    char end = a->options->null ? '\0' : '\n';
    size_t at = 0;
    struct bytes arg;
    for (bool first = true; task_next_arg(*task, &at, &arg); first = false) {
        if (!first)
            putchar(a->options->colsep ? '\t' : end);
        fwrite(arg.data, 1, arg.size, stdout);
    }
    putchar(end);
}

static void verify_compare(struct verification *a, uint64_t seq, const struct task *task)
{
    static const struct hash none;
    bool is_same = task && hash_equal(a->row.hash, task_hash(*task));
    bool is_unknown = hash_equal(a->row.hash, none); /* it had no bytes */
    if (a->row.is_whole && (is_same || is_unknown))
        return;
    if (!a->differing.tasks) {
        if (task)
            task_join(*task, &a->shown);
        else
            buf_printf(&a->shown, "longer than --task-max, which is %zu bytes", a->task_max);
    }
    verify_count(&a->differing, seq, 1);
}

/* A result that is compared with no task of an input must at least be of the task that it names. */
static void look_at_row(struct verification *a)
{
    if (!a->row.is_whole)
        verify_count(&a->differing, a->row.seq, 1);
}

static enum error verify_take_task(void *context, uint64_t seq, const struct task *task,
                                   struct why *why)
{
    struct verification *a = context;
    a->given = seq;
    if (a->has_row && a->row.seq == seq) {
        verify_compare(a, seq, task);
        return next_row(a, why);
    }
    verify_count(&a->missing, seq, 1);
    if (a->options->missing)
        print_missing(a, seq, task);
    return ERR_NONE;
}

/* Without an input the store itself says how many there should be: if the job is closed. */
static enum error walk_store(struct verification *a, struct why *why)
{
    enum error error = ERR_NONE;
    uint64_t total = a->job.closed ? a->job.total : UINT64_MAX, next = 1;
    for (; !error && a->has_row && a->row.seq <= total; error = next_row(a, why)) {
        verify_count(&a->missing, next, a->row.seq - next);
        next = a->row.seq + 1;
        look_at_row(a);
    }
    a->knows_given = a->job.closed;
    a->given = a->job.closed ? total : next - 1;
    verify_count(&a->missing, next, a->given + 1 - next);
    return error;
}

static enum error walk(struct verification *a, const struct source_options *source, struct why *why)
{
    enum error error = next_row(a, why);
    if (!error && a->has_input) {
        error = tasks_read(source, verify_take_task, a, why);
        a->knows_given = true;
    } else if (!error) {
        error = walk_store(a, why);
    }
    for (; !error && a->has_row; error = next_row(a, why))
        verify_count(&a->beyond, a->row.seq, 1);
    return error;
}

/* ---- telling ---- */

static void tell_results(const struct verification *a, FILE *to)
{
    fprintf(to, "results: %" PRIu64, a->results);
    const char *before = " (";
    for (int i = 0; i < RESULT_STATUS_COUNT; i++)
        if (a->by_status[i] || i == RESULT_OK || i == RESULT_EXITED || i == RESULT_LOST) {
            fprintf(to, "%s%" PRIu64 " %s", before, a->by_status[i],
                    result_status_word((enum result_status)i));
            before = ", ";
        }
    fputs(")\n", to);
}

static void tell_failures(const struct verification *a, FILE *to)
{
    struct buf words = {0};
    if (!a->failures.count)
        return;
    uint64_t more = failures_put(&words, &a->failures, FAILURES_KEPT);
    fprintf(to, "failed: %.*s%s\n", (int)words.size, (const char *)words.data,
            more ? "; zfarm failed lists them" : "");
    buf_free(&words);
}

static void tell_count(FILE *to, const char *name, struct count c)
{
    fprintf(to, "%s: %" PRIu64, name, c.tasks);
    if (c.tasks)
        fprintf(to, ", the first is task %" PRIu64, c.first);
}

static void tell_differing(const struct verification *a, FILE *to)
{
    if (!a->has_input && !a->differing.tasks)
        return;
    tell_count(to, "differing", a->differing);
    if (!a->has_input) {
        fputs(", whose hash is not that of the stored task\n", to);
        return;
    }
    size_t size = a->shown.size < SHOWN_MAX ? a->shown.size : SHOWN_MAX;
    char *shown = shown_copy((struct bytes){a->shown.data, size});
    if (a->differing.tasks)
        fprintf(to, ", which is %s in the input", shown);
    free(shown);
    fputc('\n', to);
}

static void tell_closed(const struct verification *a, FILE *to)
{
    if (!a->job.closed)
        fputs(a->job.in_use ? "closed: no, the job is still running\n"
                            : "closed: no, the job was interrupted; the same command goes on\n",
              to);
    else if (a->job.not_run)
        fprintf(to, "closed: yes, it was stopped and %" PRIu64 " tasks were not run\n",
                a->job.not_run);
    else if (a->job.input_cut && !a->has_input)
        fputs("closed: yes, it was stopped and its input not read to the end\n", to);
    else if (a->has_input && a->job.total != a->given)
        fprintf(to, "closed: yes, with %" PRIu64 " tasks\n", a->job.total);
    else
        fputs("closed: yes\n", to);
}

static bool verify_is_complete(const struct verification *a)
{
    bool whole = a->has_input ? a->given == a->job.total : !a->job.input_cut;
    return a->job.closed && whole && !a->job.not_run && !a->missing.tasks && !a->differing.tasks &&
           !a->beyond.tasks;
}

static void verify_tell(const struct verification *a, FILE *to)
{
    fprintf(to, "given: %s%" PRIu64 " tasks%s\n", a->knows_given ? "" : "at least ", a->given,
            a->has_input ? " in the input" : "");
    tell_results(a, to);
    tell_failures(a, to);
    tell_count(to, "missing", a->missing);
    fputs("\ndouble: 0", to); /* a number has one row */
    if (a->job.closed)
        fprintf(to, " (late attempts dropped: %" PRIu64 ")", a->job.doubled);
    fputc('\n', to);
    tell_differing(a, to);
    if (a->job.strange)
        fprintf(to,
                "strange: %" PRIu64 ", the first is task %" PRIu64
                ": results of workers that were never handed the task\n",
                a->job.strange, a->job.strange_first);
    if (a->beyond.tasks) {
        tell_count(to, "behind the end", a->beyond);
        fputc('\n', to);
    }
    tell_closed(a, to);
    fputs(verify_is_complete(a) ? "all is there" : "not all is there", to);
    if (a->failures.count)
        fprintf(to, "; %" PRIu64 " %s failed", a->failures.count,
                a->failures.count == 1 ? "task" : "tasks");
    if (a->job.strange)
        fputs("; not all of it was asked for", to);
    fputc('\n', to);
}

/* ---- from beginning to end ---- */

static int verify(const struct farm_options *o, const char *path, const struct inputs *inputs)
{
    struct source_options source = farm_source(o, inputs);
    struct verification a = {
        .options = o, .has_input = inputs->count > 0, .task_max = source.task_max};
    struct why why;
    enum error error = store_view_open(&a.view, path, &a.job, &why);
    error = error ? error : walk(&a, &source, &why);
    store_view_close(&a.view);
    if (!error && !a.job.in_use && store_is_in_use(path))
        error =
            fail(&why, ERR_IN_USE, "a sink has opened the store %s meanwhile; run it again", path);
    if (error)
        log_line("%s", why.text);
    else
        verify_tell(&a, o->missing ? stderr : stdout);
    buf_free(&a.shown);
    return fflush(stdout) || error ? 255 : !verify_is_complete(&a);
}

static int verify_run(const struct farm_options *options, const struct options *given)
{
    struct inputs inputs = {0};
    size_t count = inputs_command_count(given->words);
    if (count < 1 || count > 2) {
        log_line("it takes a store and at most one INPUT: zfarm verify FILE.db [INPUT]");
        return 255;
    }
    farm_input_files(&inputs, options);
    if (count == 2)
        inputs_add_file(&inputs, given->words[1]);
    inputs_add_words(&inputs, given->words + count);
    int status = 255;
    if (options->missing && !inputs.count)
        log_line("--missing needs the job's input: zfarm verify --missing FILE.db INPUT");
    else
        status = verify(options, given->words[0], &inputs);
    inputs_free(&inputs);
    return status;
}

int verify_main(int argc, char **argv)
{
    return cli_main(FARM_VERIFY, argc, argv, verify_run);
}
