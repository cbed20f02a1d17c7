/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_INPUTS_H
#define ZFARM_INPUTS_H

#include "common/base/words.h"

#include <stdbool.h>

/* Which files and values the tasks are made of, as the command line names them. Zero-initialised is
 * none, which the source takes as standard input; embed it by value. */
struct input {
    const char *path; /* a file, "-" for standard input; NULL: the values */
    char *const *values;
    size_t count; /* of values */
    bool
        linked; /* goes in step with the input before it (:::+) instead of being combined with it */
};

struct inputs {
    struct input *list;
    size_t count;
};

/* How many words stand before the first of ::: :::+ :::: ::::+, which is where COMMAND ends. */
size_t inputs_command_count(char *const *words);
void inputs_add_file(struct inputs *inputs,
                     const char *path); /* -a FILE; the text must stay valid */
/* Takes `words`, up to their NULL and from inputs_command_count on; they must stay valid:
 *
 *     ::: VALUE...   one input of these values       :::: FILE...   an input for each FILE
 *     :::+ VALUE...  the same, linked                ::::+ FILE...  the same, linked
 *
 * A mark with nothing behind it is an empty input. */
void inputs_add_words(struct inputs *inputs, char *const *words);
void inputs_free(struct inputs *inputs);

#endif
