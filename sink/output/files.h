/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_FILES_H
#define ZFARM_FILES_H

#include "common/wire/result.h"
#include "sink/output/writer.h"

/* The files of a job: its output (standard output or a file), standard error, and the joblog.
 * Owns: a writer for each. Decides: where the joblog goes, whether a file is begun anew or gone on with, and that
 * nothing more is written once one cannot be. Called by: direct.c, stored.c, format.c, outputs.c. Calls: writer.h,
 * joblog.h.
 * Positions are bytes since a file was opened (writer.h). Nothing here blocks but for the disk. */
enum { FILES_MAX = 3 };

/* A file as an earlier run has left it. */
struct file_before {
    bool is_known; /* it is gone on with behind `length`, if it is still there */
    uint64_t length;
};

struct files_options {
    const char *output; /* NULL: standard output */
    const char *joblog; /* NULL: none; "-": standard output */
    struct file_before output_before, joblog_before;
};

struct output_files {
    struct writer out, err, joblog;
    bool has_joblog;       /* with a writer of its own */
    bool joblog_in_out;    /* among the results: both go to standard output */
    bool joblog_is_new;    /* its header is to be written */
    bool output_continues; /* it has what an earlier run wrote */
    bool broken;           /* the output cannot be completed: nothing more is written */
};

struct files_positions {
    uint64_t out, err, joblog;
};

/* ERR_IO, ERR_INVALID: `why` says what cannot be opened; free it with files_close all the same. */
enum error files_open(struct output_files *f, const struct files_options *options, struct why *why);
void files_close(struct output_files *f);

/* The job goes on here: what an earlier run has left in the output goes, a new joblog gets its header. */
void files_begin(struct output_files *f);
/* A line in the joblog, if there is one. */
void files_log(struct output_files *f, const struct result *result);

/* Writes what goes now. ERR_DISK_FULL, ERR_CLOSED, ERR_IO as of writer_flush: the worst of the three. */
enum error files_flush(struct output_files *f, struct why *why);
/* After an error that is not ERR_DISK_FULL the files are broken. */
void files_note_error(struct output_files *f, enum error error);
/* Of two errors, the one that is to be told. */
enum error files_worse(enum error a, enum error b);
/* Whether the files opened by name are as they were written (writer_check). ERR_IO. */
enum error files_check(const struct output_files *f, struct why *why);

size_t files_pending_bytes(const struct output_files *f); /* not written; 0 if broken */
bool files_have_room(const struct output_files *f);       /* more may be put into the output */
bool files_are_tired(const struct output_files *f);       /* they are to be flushed again soon */
struct files_positions files_written(const struct output_files *f);
struct files_positions files_end(const struct output_files *f);
/* The next files_flush may write to a terminal; `prints`: so much as more is put into the output before. */
bool files_go_to_terminal(const struct output_files *f, bool prints);
/* Descriptors to be polled for POLLOUT; returns how many. */
size_t files_blocked_fds(const struct output_files *f, int fds[static FILES_MAX]);

#endif
