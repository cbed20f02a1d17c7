/* SPDX-License-Identifier: MPL-2.0 */
#include "common/cli/options.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/cli/option_value.h"
#include "common/cli/options_help.h"
#include "common/cli/task_variable.h"
#include "common/base/xalloc.h"

extern char **environ;

/* What is being read: the parameters of options_take. */
struct reading {
    struct options *options;
    const struct option_table *table;
    void *target;
    char **next; /* the argument to look at */
    struct why *why;
};

static bool takes_value(const struct option_row *row)
{
    return row->kind != OPTION_FLAG && row->kind != OPTION_SET && row->kind != OPTION_RETIRED;
}

static const struct option_row *find_name(const struct option_table *table, const char *name,
                                          size_t size)
{
    for (size_t i = 0; i < table->count; i++)
        if (strlen(table->rows[i].name) == size && strncmp(table->rows[i].name, name, size) == 0)
            return &table->rows[i];
    return NULL;
}

static const struct option_row *find_letter(const struct option_table *table, char letter)
{
    for (size_t i = 0; i < table->count; i++)
        if (table->rows[i].letters && strchr(table->rows[i].letters, letter))
            return &table->rows[i];
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

/* The name that was most likely meant, or NULL: a third of its letters may be wrong. */
static const char *nearest_name(const struct option_table *table, const char *name, size_t size)
{
    static const char *const ours[] = {"help", "version"};
    const char *best = NULL;
    size_t best_distance = size / 3 + 2;
    if (size > NAME_MAX_SIZE)
        return NULL;
    for (size_t i = 0; i < table->count + 2; i++) {
        const char *candidate = i < table->count ? table->rows[i].name : ours[i - table->count];
        assert(strlen(candidate) <= NAME_MAX_SIZE);
        if (i < table->count && table->rows[i].kind == OPTION_RETIRED)
            continue;
        size_t d = distance(name, size, candidate);
        if (d < best_distance) {
            best = candidate;
            best_distance = d;
        }
    }
    return best;
}

static enum error unknown(struct reading *r, const char *word, size_t size)
{
    const char *name = word + strspn(word, "-");
    const char *nearest = nearest_name(r->table, name, size - (size_t)(name - word));
    if (nearest)
        return fail(r->why, ERR_INVALID, "unknown option %.*s; did you mean --%s? See %s --help",
                    (int)size, word, nearest, r->table->program);
    return fail(r->why, ERR_INVALID, "unknown option %.*s; see %s --help", (int)size, word,
                r->table->program);
}

/* `shown` is how the option was written: --jobs, -j or ZFARM_JOBS. */
static enum error options_take_value(struct reading *r, const struct option_row *row,
                                     const char *shown, const char *value)
{
    struct why reason = {""};
    enum error error = option_value_store(row, value, r->target, &reason);
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
    const struct option_row *row = find_name(r->table, name, size);
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
        const struct option_row *row = find_letter(r->table, *at);
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
    for (size_t i = 0; i < r->table->count; i++) {
        const struct option_row *row = &r->table->rows[i];
        char name[NAME_MAX_SIZE + 8] = "ZFARM_";
        for (size_t j = 0, at = strlen(name); row->name[j]; j++)
            name[at + j] = (char)(row->name[j] == '-' ? '_' : toupper((unsigned char)row->name[j]));
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
            options_help(r->table, &r->options->answer);
            return true;
        }
        if (strcmp(word, "--version") == 0) {
            buf_printf(&r->options->answer, "%s %s\n", r->table->program, ZFARM_VERSION);
            return true;
        }
        *error = word[1] == '-' ? take_long(r, word) : take_letters(r, word);
    }
    return false;
}

enum options_outcome options_take(struct options *options, const struct option_table *table,
                                  void *target, int argc, char **argv, struct why *why)
{
    *options = (struct options){0};
    struct reading r = {options, table, target, argv + (argc > 0), why};
    enum error error;
    if (take_arguments(&r, &error))
        return OPTIONS_ANSWER;
    if (!error)
        error = take_environment(&r);
    options->words = r.next;
    options->word_count = argc - (int)(r.next - argv);
    return error ? OPTIONS_WRONG : OPTIONS_TAKEN;
}

void options_free(struct options *options)
{
    free(options->given);
    buf_free(&options->answer);
    *options = (struct options){0};
}

bool options_has(const struct options *options, const char *name)
{
    for (size_t i = 0; i < options->given_count; i++)
        if (strcmp(options->given[i].row->name, name) == 0)
            return true;
    return false;
}

void options_pass_on(const struct options *options, unsigned child, struct words *to)
{
    for (size_t i = 0; i < options->given_count; i++) {
        const struct option_given *given = &options->given[i];
        if (!(given->row->children & child))
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
