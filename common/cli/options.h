/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_OPTIONS_H
#define ZFARM_OPTIONS_H

#include "common/base/bytes.h"
#include "common/base/error.h"
#include "common/cli/jobs.h"
#include "common/base/words.h"

/* The command line of a program, told by a table.
 *
 *     zfarm-worker [--name=value | --name value | -n value | -nvalue | --flag | -fg]... [--]
 * WORD...
 *
 * Options end at the first word that is none, or behind `--`; a value in a word of its own is never
 * `--`. Every option can also come from the environment, --arg-file as ZFARM_ARG_FILE. An empty
 * variable is none, and so is a task's (common/cli/task_variable.h). A variable gives way to its own
 * option on the command line (and one of OPTION_SET to any that sets the same field), to nothing
 * else: no two other options of a table share a field. --help and --version need no row. */

/* What an option takes and the type at its offset in the program's struct. */
enum option_kind {
    OPTION_FLAG, /* bool: true, or what 1/0/true/false/yes/no says in --flag=no and ZFARM_FLAG=no */
    OPTION_TEXT, /* const char * */
    OPTION_WORDS,  /* struct words: may be given several times */
    OPTION_CHOICE, /* unsigned: which of the words in `choices`, separated by |, from 0 */
    OPTION_SET,    /* unsigned: a flag that sets `number` (--bar sets 1, --no-bar sets 2) */
    OPTION_COUNT,  /* uint64_t from `min` to `max`; max 0 is no limit */
    OPTION_LIMIT,  /* the same as OPTION_SIZE, or none, which is OPTION_NO_LIMIT */
    OPTION_SIZE,   /* uint64_t bytes from `min` to `max`: 64K is 65536, 64k is 64000, 1.5M, 2G, T, P
                    */
    OPTION_SECONDS, /* uint64_t nanoseconds: 1.5, 90s, 10m, 1h30m, 2d */
    OPTION_JOBS,    /* struct jobs */
    OPTION_PARSED,  /* whatever `parse` fills */
    OPTION_RETIRED, /* nothing: it is refused, and `instead` names the option to give */
};

/* So large that it is never reached, and two of them and a little fit into 64 bits. */
#define OPTION_NO_LIMIT (UINT64_MAX / 4)

/* A row: {"jobs", "jP", OPTION_JOBS, offsetof (struct settings, jobs), "N", .help = "how many"} */
struct option_row {
    const char *name;    /* the long name, without -- */
    const char *letters; /* short names, "jP"; NULL for none */
    enum option_kind kind;
    size_t offset;       /* offsetof in the program's struct */
    const char *value;   /* what the help calls the value: "FILE"; NULL for a flag */
    const char *help;    /* one line; NULL: --help only names the option */
    const char *choices; /* OPTION_CHOICE */
    /* The value of --name that is given without one, and then a value can only be given as
     * --name=VALUE. A letter always takes one. NULL: there must be a value. */
    const char *optional;
    const char *instead; /* OPTION_RETIRED: the new name, without -- */
    unsigned number;     /* OPTION_SET */
    uint64_t min, max;   /* OPTION_COUNT, OPTION_SIZE, OPTION_LIMIT */
    unsigned children;   /* a bit for each child that takes it as well (options_pass_on) */
    /* OPTION_PARSED: fills `target`, or returns an error and a whole sentence. */
    enum error (*parse)(const char *text, void *target, struct why *why);
};

struct option_table {
    const char *program; /* "zfarm-worker", as messages and --version name it */
    const char *usage;   /* the lines before the options */
    const char *more;    /* the lines after them: examples; may be NULL */
    const struct option_row *rows;
    size_t count;
};

/* One option that was given, as it can be given again. */
struct option_given {
    const struct option_row *row;
    const char *value; /* NULL: a flag without one */
};

/* What was on the command line. All texts point into argv or the environment. */
struct options {
    struct option_given *given;
    size_t given_count;
    char *
        *words; /* into argv, from the first word that is no option; ends with NULL as argv does */
    int word_count;
    struct buf answer; /* what --help or --version is answered with */
};

enum options_outcome {
    OPTIONS_TAKEN,  /* go on */
    OPTIONS_ANSWER, /* write `answer` to stdout and exit 0 */
    OPTIONS_WRONG,  /* print `why` and exit 255 */
};

/* Fills `target`, the program's struct that holds its defaults already, from argv[1] on and the
 * environment, which it does not change. Whatever the outcome, free `options` with options_free and
 * the struct words of `target` with words_free. Texts in `target` point into argv or the
 * environment. `why`: the option, the value and what it takes, or the nearest name of an unknown
 * option. */
enum options_outcome options_take(struct options *options, const struct option_table *table,
                                  void *target, int argc, char **argv, struct why *why);
void options_free(struct options *options); /* argv and the environment stay */
/* Whether the option was given, on the command line or by the environment. */
bool options_has(const struct options *options, const char *name);

/* Appends `--name=value` for each given option that a child with the bit `child` takes too. */
void options_pass_on(const struct options *options, unsigned child, struct words *to);

/* Removes every variable ZFARM_... but ZFARM_DEBUG from the environment, so that neither children
 * nor tasks take an option by accident. What options_take found there stays valid. */
void options_clear_environment(void);

#endif
