/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SOURCE_H
#define ZFARM_SOURCE_H

#include "common/wire/task.h"
#include "common/input/inputs.h"
#include "common/input/trim.h"

/* Where the tasks come from: reads the inputs lazily and makes records of them (task.h). The
 * calling loop, once a turn while there is room for tasks:
 *
 *     switch (source_take (source, &records, room_tasks, room_bytes, &tasks, &why)) {
 *     case SOURCE_TOOK:      number `tasks` tasks and queue `records`; come again
 *     case SOURCE_WAIT:      poll source_fd (source) for reading
 *     case SOURCE_END:       the input is done
 *     case SOURCE_TOO_LARGE: number one task and give it the verdict RESULT_TASK_TOO_LARGE
 *     case SOURCE_FAILED:    say why, go on without more input
 *     }
 *
 * Nothing blocks, with the exception that reader.h names. Memory: a buffer of READER_SIZE or a few
 * times task_max, one task that is being put together, and what combine.h holds. */
enum source_state { SOURCE_TOOK, SOURCE_WAIT, SOURCE_END, SOURCE_TOO_LARGE, SOURCE_FAILED };

struct source_options {
    const struct inputs *inputs; /* none at all: standard input. Its texts must stay valid */
    bool null;                   /* -0: values end with NUL and not with a newline */
    uint64_t values;    /* -n: how many rows of the inputs make a task; the last may have fewer */
    const char *colsep; /* --colsep: splits each value into arguments; NULL: none */
    enum trim trim;     /* --trim, of each argument */
    bool pipe; /* --pipe: a task is a block of the inputs (blocks.h); no null, -n, --colsep, trim */
    size_t block;                  /* --block; 0: task_max */
    const char *recend, *recstart; /* as blocks.h has them */
    size_t task_max;               /* most bytes of a task's arguments joined by blanks */
};

/* --task-max, as it was given (0: not at all): by default what a --block needs. */
size_t source_task_max(uint64_t given, uint64_t block);

struct source;

/* ERR_NONE: `*source` is the caller's. Otherwise nothing was made and `why` is a whole sentence:
 * ERR_NOT_FOUND, ERR_ACCESS, ERR_IO: an input cannot be read; ERR_INVALID: it is a directory,
 * standard input is named twice, --colsep is no regular expression, or what blocks_open refuses. */
enum error source_open(struct source **source, const struct source_options *options,
                       struct why *why);
void source_close(struct source **source); /* sets *source to NULL; takes NULL */

/* Appends the records of up to `tasks_max` tasks and up to `bytes_max` bytes to `records`, of one
 * task at least however large it is, and sets `*tasks` to how many. `tasks_max` is 1 or more. Only
 * SOURCE_TOOK appends. SOURCE_TOO_LARGE: the next task is above task_max, was read over without
 * being held, and is behind us; source_too_large_size tells its size. SOURCE_FAILED: `why` says it,
 * and what was read before is valid. After SOURCE_END and SOURCE_FAILED it stays at that. */
enum source_state source_take(struct source *source, struct buf *records, size_t tasks_max,
                              size_t bytes_max, size_t *tasks, struct why *why);
/* How the input begins, as soon as its first row or block was taken. It is passed on byte for byte; but a program
 * that the tasks are for may stumble over it. */
struct source_looks {
    bool crlf; /* the first line ends with CR LF */
    bool bom;  /* with a byte-order mark */
};
struct source_looks source_looks(const struct source *source);
/* What SOURCE_WAIT waits for. */
int source_fd(const struct source *source);
uint64_t source_too_large_size(const struct source *source);
/* What the tasks are read from, for users: "standard input", a file's name, or "its inputs". */
const char *source_name(const struct source *source);
/* How many tasks there will be in all, or 0 when only reading tells. */
uint64_t source_total(const struct source *source);
/* The same for two sources that make the same tasks of the same input: separator, -n, --colsep, --trim,
 * how blocks are cut, and how the inputs are combined. What is in the inputs is not part of it. */
struct hash source_fingerprint(const struct source *source);

#endif
