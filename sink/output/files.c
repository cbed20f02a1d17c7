/* SPDX-License-Identifier: MPL-2.0 */
#include "sink/output/files.h"

#include <string.h>
#include <unistd.h>

#include "sink/output/joblog.h"

/* More than this does not wait in the output's writer, unless one result is larger. */
enum { ROOM_BYTES = 1 << 20 };

/* ---- opening ---- */

static enum error files_open_named(struct writer *w, const char *path, struct file_before before,
                                   bool *continues, struct why *why)
{
    *continues = before.is_known && access(path, F_OK) == 0;
    return *continues ? writer_continue(w, path, before.length, why) : writer_open(w, path, why);
}

static enum error files_open_output(struct output_files *f, const struct files_options *options,
                                    struct why *why)
{
    if (options->output)
        return files_open_named(&f->out, options->output, options->output_before,
                                &f->output_continues, why);
    writer_use(&f->out, STDOUT_FILENO, "standard output");
    f->output_continues = options->output_before.is_known;
    return ERR_NONE;
}

static enum error files_open_joblog(struct output_files *f, const struct files_options *options,
                                    struct why *why)
{
    bool continues;
    if (strcmp(options->joblog, "-") == 0) {
        f->joblog_is_new = true;
        f->joblog_in_out = !options->output;
        f->has_joblog = !f->joblog_in_out;
        if (f->has_joblog)
            writer_use(&f->joblog, STDOUT_FILENO, "standard output");
        return ERR_NONE;
    }
    enum error error =
        files_open_named(&f->joblog, options->joblog, options->joblog_before, &continues, why);
    if (error)
        return error;
    f->has_joblog = true;
    f->joblog_is_new = !continues || writer_written(&f->joblog) == 0;
    return ERR_NONE;
}

enum error files_open(struct output_files *f, const struct files_options *options, struct why *why)
{
    *f = (struct output_files){0};
    writer_use(&f->err, STDERR_FILENO, "standard error");
    enum error error = files_open_output(f, options, why);
    return error || !options->joblog ? error : files_open_joblog(f, options, why);
}

void files_close(struct output_files *f)
{
    writer_close(&f->out);
    writer_close(&f->err);
    writer_close(&f->joblog);
}

/* ---- the joblog ---- */

static struct buf *files_joblog_buf(struct output_files *f)
{
    return writer_buf(f->joblog_in_out ? &f->out : &f->joblog);
}

void files_begin(struct output_files *f)
{
    writer_begin(&f->out, NULL); /* an error comes again with the first write */
    if (f->joblog_is_new)
        joblog_put_header(files_joblog_buf(f));
}

void files_log(struct output_files *f, const struct result *result)
{
    if (f->has_joblog || f->joblog_in_out)
        joblog_put(files_joblog_buf(f), result);
}

/* ---- writing ---- */

static size_t files_count(const struct output_files *f)
{
    return f->has_joblog ? FILES_MAX : FILES_MAX - 1;
}

enum error files_worse(enum error a, enum error b)
{
    return a == ERR_NONE || (a == ERR_DISK_FULL && b != ERR_NONE) ? b : a;
}

enum error files_flush(struct output_files *f, struct why *why)
{
    struct writer *writers[FILES_MAX] = {&f->out, &f->err, &f->joblog};
    enum error error = ERR_NONE;
    struct why other;
    for (size_t i = 0; i < files_count(f); i++) {
        enum error one = writer_flush(writers[i], &other);
        if (one && files_worse(error, one) != error)
            *why = other;
        error = files_worse(error, one);
    }
    return error;
}

void files_note_error(struct output_files *f, enum error error)
{
    if (error && error != ERR_DISK_FULL)
        f->broken = true;
}

enum error files_check(const struct output_files *f, struct why *why)
{
    if (f->broken)
        return ERR_NONE;
    enum error error = writer_check(&f->out, why);
    return error || !f->has_joblog ? error : writer_check(&f->joblog, why);
}

/* ---- how it is ---- */

size_t files_pending_bytes(const struct output_files *f)
{
    if (f->broken)
        return 0;
    return writer_pending(&f->out) + writer_pending(&f->err) +
           (f->has_joblog ? writer_pending(&f->joblog) : 0);
}

bool files_have_room(const struct output_files *f)
{
    return writer_pending(&f->out) < ROOM_BYTES;
}

bool files_are_tired(const struct output_files *f)
{
    return !f->broken && (writer_tired(&f->out) || writer_tired(&f->err));
}

struct files_positions files_written(const struct output_files *f)
{
    return (struct files_positions){writer_written(&f->out), writer_written(&f->err),
                                    writer_written(&f->joblog)};
}

struct files_positions files_end(const struct output_files *f)
{
    return (struct files_positions){writer_end(&f->out), writer_end(&f->err),
                                    writer_end(&f->joblog)};
}

bool files_go_to_terminal(const struct output_files *f, bool prints)
{
    bool out = f->out.is_terminal && (prints || writer_pending(&f->out));
    bool err = f->err.is_terminal && writer_pending(&f->err);
    return !f->broken && (out || err);
}

size_t files_blocked_fds(const struct output_files *f, int fds[static FILES_MAX])
{
    const struct writer *writers[FILES_MAX] = {&f->out, &f->err, &f->joblog};
    size_t count = 0;
    for (size_t i = 0; i < files_count(f); i++)
        if (!f->broken && writer_pending(writers[i]) && writer_blocked(writers[i]))
            fds[count++] = writer_fd(writers[i]);
    return count;
}
