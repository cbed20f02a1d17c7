/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_FORMAT_H
#define ZFARM_FORMAT_H

#include "common/cli/farm_options.h"
#include "sink/output/files.h"
#include "sink/output/text.h"

/* How a result is printed: --format, --tag.
 * Owns: the table of formats, and what text.h counts. Decides: what a format needs of workers, and whether a large
 * output goes from the file that it is in. Called by: direct.c, stored.c, outputs.c. Calls: text.h, jsonl.h.
 * A new format is a word of --format and of `enum output_format` (common/cli/farm_options.h), and a row of the table in
 * format.c. */

/* Appends what is to be printed of the task's tries that failed, with commas between (jsonl_put_try). */
typedef void format_tries_fn(void *context, const struct result *result, struct buf *to);

struct formatter {
    enum output_format format;
    struct text text; /* its tag is set by the caller */
    format_tries_fn *put_tries;
    void *context; /* of put_tries */
    struct buf tries;
};

void formatter_free(struct formatter *f);

unsigned format_wants(enum output_format format);      /* enum result_want */
bool formatter_shows_tries(const struct formatter *f); /* the object of a task has its tries */
void formatter_put(struct formatter *f, const struct result *r, struct buf *out, struct buf *err);
/* Its bytes go from the file that they are in to the output, as they are. */
bool formatter_leaves_in_file(const struct formatter *f, const struct result *r);
/* Puts the result at the end of the files. */
void formatter_print(struct formatter *f, const struct result *r, struct output_files *files);

#endif
