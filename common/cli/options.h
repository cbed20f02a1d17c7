/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_OPTIONS_H
#define ZFARM_OPTIONS_H

#include "common/base/bytes.h"
#include "common/base/error.h"
#include "common/cli/jobs.h"
#include "common/base/words.h"

/* The command lines of several programs, told by one table: a row per option, which says what programs take it.
 *
 *     zfarm-worker [--name=value | --name value | -n value | -nvalue | --flag | -fg]... [--] WORD...
 *
 * Options end at the first word that is none, or behind `--`; a value in a word of its own is never `--`. Every
 * option can also come from the environment, --arg-file as ZFARM_ARG_FILE. An empty variable is none, and so is a
 * task's (common/cli/task_variable.h). A variable gives way to its own option on the command line (and one of
 * OPTION_SET to any that sets the same field), to nothing else: no two other options of a program share a field.
 * --help and --version need no row. What a program and a child of it both take, the program hands on as it was given
 * (options_pass_on). */

/* What an option takes and the type at its offset in the struct that is filled. */
enum option_kind {
    OPTION_FLAG, /* bool: true, or what 1/0/true/false/yes/no says in --flag=no and ZFARM_FLAG=no */
    OPTION_TEXT, /* const char * */
    OPTION_WORDS,   /* struct words: may be given several times */
    OPTION_CHOICE,  /* unsigned: which of the words in `choices`, separated by |, from 0 */
    OPTION_SET,     /* unsigned: a flag that sets `number` (--bar sets 1, --no-bar sets 2) */
    OPTION_COUNT,   /* uint64_t from `min` to `max`; max 0 is no limit */
    OPTION_SIZE,    /* the same in bytes: 64K is 65536, 64k is 64000, 1.5M, 2G, T, P */
    OPTION_LIMIT,   /* the same as OPTION_SIZE, or none, which is OPTION_NO_LIMIT */
    OPTION_SECONDS, /* uint64_t nanoseconds, `min` if it is less: 1.5, 90s, 10m, 1h30m, 2d */
    OPTION_JOBS,    /* struct jobs */
    OPTION_PARSED,  /* whatever `parse` fills */
    OPTION_RETIRED, /* nothing: it is refused, and `instead` names the option to give */
};

/* So large that it is never reached, and two of them and a little fit into 64 bits. */
#define OPTION_NO_LIMIT (UINT64_MAX / 4)

struct option_row {
    const char *name;    /* the long name, without -- */
    const char *letters; /* short names, "jP"; NULL for none */
    unsigned programs;   /* a bit for each program that takes it */
    enum option_kind kind;
    size_t offset;     /* offsetof in the struct that is filled */
    const char *value; /* what the help calls the value: "FILE"; NULL for a flag */
    const char *help;  /* one line, without the default value; NULL for OPTION_RETIRED */
    unsigned brief; /* a bit for each program whose --help has no line for it and only names it */
    /* What holds where it is not given, as it would be given. The value of `default_variable` goes before it. NULL: the
     * field stays as it is. */
    const char *default_value;
    const char *default_variable;
    const char *choices; /* OPTION_CHOICE */
    /* The value of --name that is given without one, and then a value can only be given as --name=VALUE. A letter
     * always takes one. NULL: there must be a value. */
    const char *optional;
    const char *instead; /* OPTION_RETIRED: the new name, without -- */
    unsigned number;     /* OPTION_SET */
    uint64_t min, max; /* OPTION_COUNT, OPTION_SIZE, OPTION_LIMIT; OPTION_SECONDS has `min` only */
    /* OPTION_PARSED: fills `target`, or returns an error and a whole sentence. */
    enum error (*parse)(const char *text, void *target, struct why *why);
};

/* What options ask of each other. */
enum option_relation {
    OPTION_EXCLUDES, /* none of `others` may be given as well */
    OPTION_NEEDS,    /* one of `others` must be given as well */
};

/* Flags that say no, and values that are the default, count as not given. */
struct option_rule {
    unsigned
        programs; /* a bit for each program that holds it; each takes all options that it names */
    const char *option; /* a name; or several, separated by |, of each of which it is true */
    enum option_relation relation;
    const char *others;   /* likewise */
    const char *sentence; /* what the user is told: a whole one */
};

struct option_table {
    const struct option_row *rows;
    size_t count;
    const struct option_rule *rules;
    size_t rule_count;
};

/* A program that takes the options which have its bit. */
struct option_program {
    unsigned bit;
    const char *name;  /* "zfarm-worker", as messages and --version name it */
    const char *usage; /* the lines before the options */
    const char *more;  /* the lines after them: examples; may be NULL */
};

/* One option that was given, as it can be given again. */
struct option_given {
    const struct option_row *row;
    const char *value; /* NULL: a flag without one */
};

/* What was on the command line. All texts point into argv or the environment. */
struct options {
    const struct option_table *table;
    unsigned program; /* its bit */
    void *target;
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

/* Fills `target`, which is zero, from argv[1] on, the environment, which it does not change, and the default values.
 * Whatever the outcome, free `options` with options_free, while `target` is there. Texts in `target` point into argv,
 * the environment or the table. `why`: the option, the value and what it takes, or the nearest name of an unknown
 * option, or the sentence of a rule that does not hold. */
enum options_outcome options_take(struct options *options, const struct option_table *table,
                                  const struct option_program *program, void *target, int argc,
                                  char **argv, struct why *why);
/* Frees the struct words of `target`, too; argv and the environment stay. */
void options_free(struct options *options);

/* Appends `--name=value` for each given option that the program with the bit `child` takes too. */
void options_pass_on(const struct options *options, unsigned child, struct words *to);

/* Removes every variable ZFARM_... but ZFARM_DEBUG from the environment, so that neither children
 * nor tasks take an option by accident. What options_take found there stays valid. */
void options_clear_environment(void);

#endif
