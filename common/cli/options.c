/* SPDX-License-Identifier: MPL-2.0 */
#include "common/cli/options.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/cli/option_rules.h"
#include "common/cli/option_value.h"
#include "common/cli/options_help.h"
#include "common/cli/task_variable.h"
#include "common/base/xalloc.h"

extern char **environ;

/* What is being read: the parameters of options_take. */
struct reading {
    struct options *options;
    const struct option_table *table;
    const struct option_program *program;
    char **next; /* the argument to look at */
    struct why *why;
};

static bool takes_value(const struct option_row *row)
{
    return row->kind != OPTION_FLAG && row->kind != OPTION_SET && row->kind != OPTION_RETIRED;
}

/* The next row of the program from `*at` on, or NULL. */
static const struct option_row *options_next_row(const struct reading *r, size_t *at)
{
    while (*at < r->table->count) {
        const struct option_row *row = &r->table->rows[(*at)++];
        if (row->programs & r->program->bit)
            return row;
    }
    return NULL;
}

static const struct option_row *find_name(const struct reading *r, const char *name, size_t size)
{
    const struct option_row *row;
    for (size_t at = 0; (row = options_next_row(r, &at));)
        if (strlen(row->name) == size && strncmp(row->name, name, size) == 0)
            return row;
    return NULL;
}

static const struct option_row *find_letter(const struct reading *r, char letter)
{
    const struct option_row *row;
    for (size_t at = 0; (row = options_next_row(r, &at));)
        if (row->letters && strchr(row->letters, letter))
            return row;
    return NULL;
}

/* How many letters to change, add or remove to make b of a (Levenshtein), both below NAME_MAX_SIZE.
 */
enum { NAME_MAX_SIZE = 32 };

static size_t distance(const char *a, size_t a_size, const char *b)
{
    size_t row[NAME_MAX_SIZE + 1], b_size = strlen(b);
    for (size_t j = 0; j <= b_size; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);
            size_t shorter = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            diagonal = row[j];
            row[j] = change < shorter ? change : shorter;
        }
    }
    return row[b_size];
}

/* The name that was most likely meant, and how far off it is. */
struct candidate {
    const char *name;
    size_t distance;
};

static void consider(struct candidate *best, const char *name, size_t size, const char *candidate)
{
    assert(strlen(candidate) <= NAME_MAX_SIZE);
    size_t d = distance(name, size, candidate);
    if (d < best->distance)
        *best = (struct candidate){candidate, d};
}

/* NULL if none is near: a third of its letters may be wrong. */
static const char *nearest_name(const struct reading *r, const char *name, size_t size)
{
    struct candidate best = {NULL, size / 3 + 2};
    const struct option_row *row;
    if (size > NAME_MAX_SIZE)
        return NULL;
    for (size_t at = 0; (row = options_next_row(r, &at));)
        if (row->kind != OPTION_RETIRED)
            consider(&best, name, size, row->name);
    consider(&best, name, size, "help");
    consider(&best, name, size, "version");
    return best.name;
}

static enum error unknown(struct reading *r, const char *word, size_t size)
{
    const char *name = word + strspn(word, "-");
    const char *nearest = nearest_name(r, name, size - (size_t)(name - word));
    if (nearest)
        return fail(r->why, ERR_INVALID, "unknown option %.*s; did you mean --%s? See %s --help",
                    (int)size, word, nearest, r->program->name);
    return fail(r->why, ERR_INVALID, "unknown option %.*s; see %s --help", (int)size, word,
                r->program->name);
}

/* `shown` is how the option was written: --jobs, -j or ZFARM_JOBS. */
static enum error options_take_value(struct reading *r, const struct option_row *row,
                                     const char *shown, const char *value)
{
    struct why reason = {""};
    enum error error = option_value_store(row, value, r->options->target, &reason);
    if (error)
        return fail(r->why, error, "%s: %s", shown, reason.text);
    struct options *o = r->options;
    o->given = xrealloc(o->given, (o->given_count + 1) * sizeof *o->given);
    o->given[o->given_count++] = (struct option_given){row, value};
    return ERR_NONE;
}

/* Takes the next argument as the value of the option written as `shown`. That is never `--`: who
 * writes it there has forgotten the value. */
static enum error take_next(struct reading *r, const struct option_row *row, const char *shown)
{
    const char *value = row->value ? row->value : "VALUE";
    if (!*r->next)
        return fail(r->why, ERR_INVALID, "%s needs a value: %s %s", shown, shown, value);
    if (strcmp(*r->next, "--") == 0)
        return fail(r->why, ERR_INVALID,
                    "%s needs a value, and -- ends the options: %s %s (for a value that is --, "
                    "--%s=--)",
                    shown, shown, value, row->name);
    return options_take_value(r, row, shown, *r->next++);
}

/* --name, --name=value, --name value; an optional value stands behind `=` only */
static enum error take_long(struct reading *r, const char *word)
{
    const char *name = word + 2, *equals = strchr(name, '=');
    size_t size = equals ? (size_t)(equals - name) : strlen(name);
    const struct option_row *row = find_name(r, name, size);
    if (!row)
        return unknown(r, word, size + 2);
    char shown[NAME_MAX_SIZE + 3];
    memcpy(shown, word, size + 2);
    shown[size + 2] = '\0';
    if (equals || !takes_value(row) || row->optional)
        return options_take_value(r, row, shown, equals ? equals + 1 : row->optional);
    return take_next(r, row, shown);
}

/* -k, -k0 (two flags), -j4, -j 4 */
static enum error take_letters(struct reading *r, const char *word)
{
    for (const char *at = word + 1; *at; at++) {
        char shown[] = {'-', *at, '\0'};
        const struct option_row *row = find_letter(r, *at);
        if (!row)
            return unknown(r, at == word + 1 ? word : shown, at == word + 1 ? strlen(word) : 2);
        if (takes_value(row))
            return at[1] ? options_take_value(r, row, shown, at + 1) : take_next(r, row, shown);
        enum error error = options_take_value(r, row, shown, NULL);
        if (error)
            return error;
    }
    return ERR_NONE;
}

/* The same option, or one that sets the same thing otherwise, as --bar and --no-bar do. */
static bool gives_way(const struct option_row *variable, const struct option_row *given)
{
    return variable == given || (variable->kind == OPTION_SET && given->kind == OPTION_SET &&
                                 variable->offset == given->offset);
}

/* Whether the first `count` of what was given overrule the variable of the option. */
static bool is_overruled(const struct options *options, size_t count, const struct option_row *row)
{
    for (size_t i = 0; i < count; i++)
        if (gives_way(row, options->given[i].row))
            return true;
    return false;
}

/* The options that the command line did not give, from the environment. */
static enum error take_environment(struct reading *r)
{
    size_t from_arguments = r->options->given_count;
    const struct option_row *row;
    for (size_t at = 0; (row = options_next_row(r, &at));) {
        char name[NAME_MAX_SIZE + 8] = "ZFARM_";
        for (size_t i = 0, start = strlen(name); row->name[i]; i++)
            name[start + i] =
                (char)(row->name[i] == '-' ? '_' : toupper((unsigned char)row->name[i]));
        const char *value = getenv(name);
        if (!value || !*value || task_variable_is(name) ||
            is_overruled(r->options, from_arguments, row))
            continue;
        enum error error = options_take_value(r, row, name, value);
        if (error)
            return error;
    }
    return ERR_NONE;
}

/* The options of the command line, up to the first word. Returns true if one asks for an answer. */
static bool take_arguments(struct reading *r, enum error *error)
{
    *error = ERR_NONE;
    while (!*error && *r->next && **r->next == '-' && (*r->next)[1]) {
        char *word = *r->next++;
        if (strcmp(word, "--") == 0)
            return false;
        if (strcmp(word, "--help") == 0) {
            options_help(r->table, r->program, &r->options->answer);
            return true;
        }
        if (strcmp(word, "--version") == 0) {
            buf_printf(&r->options->answer, "%s %s\n", r->program->name, ZFARM_VERSION);
            return true;
        }
        *error = word[1] == '-' ? take_long(r, word) : take_letters(r, word);
    }
    return false;
}

/* The table's own values of the program's options: what is given goes over them. */
static void put_defaults(const struct reading *r)
{
    const struct option_row *row;
    for (size_t at = 0; (row = options_next_row(r, &at));) {
        const char *value = row->default_variable ? getenv(row->default_variable) : NULL;
        struct why why;
        if (!value || !*value)
            value = row->default_value;
        enum error error =
            value ? option_value_store(row, value, r->options->target, &why) : ERR_NONE;
        assert(!error);
    }
}

enum options_outcome options_take(struct options *options, const struct option_table *table,
                                  const struct option_program *program, void *target, int argc,
                                  char **argv, struct why *why)
{
    *options = (struct options){.table = table, .program = program->bit, .target = target};
    struct reading r = {options, table, program, argv + (argc > 0), why};
    enum error error;
    put_defaults(&r);
    if (take_arguments(&r, &error))
        return OPTIONS_ANSWER;
    error = error ? error : take_environment(&r);
    error = error ? error : option_rules_check(options, why);
    options->words = r.next;
    options->word_count = argc - (int)(r.next - argv);
    return error ? OPTIONS_WRONG : OPTIONS_TAKEN;
}

void options_free(struct options *options)
{
    for (size_t i = 0; i < options->given_count; i++)
        if (options->given[i].row->kind == OPTION_WORDS)
            words_free((void *)((char *)options->target + options->given[i].row->offset));
    free(options->given);
    buf_free(&options->answer);
    *options = (struct options){0};
}

void options_pass_on(const struct options *options, unsigned child, struct words *to)
{
    for (size_t i = 0; i < options->given_count; i++) {
        const struct option_given *given = &options->given[i];
        if (!(given->row->programs & child))
            continue;
        words_take(to, xasprintf("--%s%s%s", given->row->name, given->value ? "=" : "",
                                 given->value ? given->value : ""));
    }
}

void options_clear_environment(void)
{
    size_t i = 0;
    while (environ && environ[i]) {
        size_t size = strcspn(environ[i], "=");
        char *name = xstrndup(environ[i], size);
        bool ours = name && strncmp(name, "ZFARM_", 6) == 0 && strcmp(name, "ZFARM_DEBUG") != 0;
        if (!ours || unsetenv(name) != 0)
            i++;
        free(name);
    }
}
