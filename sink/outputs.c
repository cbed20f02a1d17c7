/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/outputs.h"

#include <string.h>

/* ---- opening ---- */

static struct store_options store_asked(const struct farm_options *options, uint64_t job,
                                        const struct files_options *files)
{
    return (struct store_options){.path = options->store,
                                  .durability = (enum store_durability)options->durability,
                                  .job = job,
                                  .command = {.executor = options->executor,
                                              .text = options->command,
                                              .hash = options->command_hash},
                                  .other_command = options->other_command,
                                  .retry_failed = options->retry_failed,
                                  .round = options->round,
                                  .output = files->output ? files->output : "-"};
}

static enum error outputs_open_store(struct outputs *o, const struct stored_options *options,
                                     struct why *why)
{
    enum error error = stored_open(&o->stored, options, &o->files, &o->formatter, why);
    if (error)
        return error;
    o->kind = &stored_output;
    o->self = o->stored;
    o->failures = stored_past(o->stored)->failures;
    return ERR_NONE;
}

static void outputs_open_direct(struct outputs *o, const struct farm_options *options)
{
    struct direct_options direct = {options->keep_order, options->spool_max_bytes, options->tmpdir};
    o->kind = &direct_output;
    o->self = direct_new(&direct, &o->files, &o->formatter);
}

enum error outputs_open(struct outputs *o, const struct farm_options *options, uint64_t job,
                        struct why *why)
{
    bool names_stdout = options->output && strcmp(options->output, "-") == 0;
    struct files_options files = {.output = names_stdout ? NULL : options->output,
                                  .joblog = options->joblog};
    struct stored_options stored = {.store = store_asked(options, job, &files),
                                    .joblog = options->joblog,
                                    .keep_order = options->keep_order};
    *o = (struct outputs){.formatter = {.format = (enum output_format)options->format,
                                        .text = {.tag = options->tag}}};
    enum error error = options->store ? outputs_open_store(o, &stored, why) : ERR_NONE;
    if (error)
        return error;
    if (o->stored)
        stored_tell_files(o->stored, &files);
    else
        outputs_open_direct(o, options);
    error = files_open(&o->files, &files, why);
    if (!error && o->stored)
        stored_plan(o->stored);
    return error;
}

void outputs_close(struct outputs *o)
{
    if (o->kind)
        o->kind->close(o->self);
    formatter_free(&o->formatter);
    files_close(&o->files);
}

unsigned outputs_wants(const struct farm_options *options)
{
    unsigned wants = format_wants((enum output_format)options->format);
    if (options->tag)
        wants |= WANT_TASK;
    if (options->joblog)
        wants |= WANT_TIMES | WANT_TASK | WANT_COMMAND;
    if (options->store)
        wants |= STORE_WANTS;
    return wants;
}

/* ---- results ---- */

void outputs_begin(struct outputs *o)
{
    if (o->begun)
        return;
    o->begun = true;
    if (o->kind->begin)
        o->kind->begin(o->self);
    files_begin(&o->files);
}

bool outputs_has_begun(const struct outputs *o)
{
    return o->begun;
}

void outputs_accept(struct outputs *o, const struct result *result)
{
    outputs_begin(o);
    if (result->status != RESULT_OK && result->final)
        failures_note(&o->failures, result->seq, result->status, result->code);
    o->kind->accept(o->self, result);
    if (result->final && !o->files.broken)
        files_log(&o->files, result);
}

void outputs_skip(struct outputs *o, const struct seqset *tasks)
{
    if (o->kind->skip)
        o->kind->skip(o->self, tasks);
}

/* ---- writing ---- */

enum error outputs_flush(struct outputs *o, struct why *why)
{
    return o->kind->flush(o->self, why);
}

enum error outputs_check_files(const struct outputs *o, struct why *why)
{
    return o->begun ? files_check(&o->files, why) : ERR_NONE;
}

void outputs_break(struct outputs *o)
{
    o->files.broken = true;
}

/* ---- how it is ---- */

static struct output_state outputs_state(const struct outputs *o)
{
    return o->kind->state(o->self);
}

uint64_t outputs_given(const struct outputs *o)
{
    return outputs_state(o).given;
}

uint64_t outputs_stored(const struct outputs *o)
{
    return outputs_state(o).stored;
}

bool outputs_goes_to_terminal(const struct outputs *o)
{
    return files_go_to_terminal(&o->files, outputs_state(o).prints);
}

size_t outputs_pending_bytes(const struct outputs *o)
{
    return outputs_state(o).pending_bytes;
}

bool outputs_empty(const struct outputs *o)
{
    return outputs_state(o).is_empty;
}

bool outputs_is_stuck(const struct outputs *o)
{
    return outputs_state(o).is_stuck;
}

bool outputs_order_full(const struct outputs *o)
{
    return outputs_state(o).is_full;
}

bool outputs_ready(const struct outputs *o)
{
    bool has_more = outputs_state(o).is_ready && !o->files.broken && files_have_room(&o->files);
    return has_more || files_are_tired(&o->files);
}

uint64_t outputs_written_bytes(const struct outputs *o)
{
    struct files_positions written = files_written(&o->files);
    return written.out + written.err + written.joblog;
}

size_t outputs_blocked_fds(const struct outputs *o, int fds[static FILES_MAX])
{
    return files_blocked_fds(&o->files, fds);
}
