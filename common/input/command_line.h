/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_COMMAND_LINE_H
#define ZFARM_COMMAND_LINE_H

#include "common/wire/task.h"

/* What runs the tasks, as it was told on the command line: to be shown to users, and to be compared, because
 * results of two different ones do not belong together. How it is run (slots, limits) is no part of it. */
struct command_line {
    const char *plugin; /* the file; NULL: commands */
    bool shell, coprocess, pipe;
    bool null;               /* counts with coprocess only, whose lines it ends */
    const char *replacement; /* -I; NULL: {} */
    char *const *words;      /* COMMAND and its arguments, or the plugin's */
    size_t count;
};

/* "command", "shell", "coprocess" or "plugin". */
const char *command_line_executor(const struct command_line *c);
/* Appends it as one would type it: --shell 'echo {}'. */
void command_line_put(struct buf *to, const struct command_line *c);
/* Of all of it. With a shell the words count as the line that they make. */
struct hash command_line_hash(const struct command_line *c);
/* As text, 32 hexadecimal digits and a NUL, and back: for option_row.parse. */
enum { COMMAND_LINE_HASH_SIZE = 33 };
void command_line_hash_text(struct hash hash, char text[static COMMAND_LINE_HASH_SIZE]);
enum error command_line_hash_parse(const char *text, void *target, struct why *why);

#endif
