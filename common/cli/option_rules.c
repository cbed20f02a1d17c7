/* SPDX-License-Identifier: MPL-2.0 */
#include "common/cli/option_rules.h"

#include <string.h>

/* What an option was given with at last; NULL if it was not given. */
static const struct option_given *last_given(const struct options *options, const char *name,
                                             size_t size)
{
    for (size_t i = options->given_count; i-- > 0;) {
        const char *given = options->given[i].row->name;
        if (strlen(given) == size && memcmp(given, name, size) == 0)
            return &options->given[i];
    }
    return NULL;
}

static bool is_on(const struct options *options, const char *name, size_t size)
{
    const struct option_given *given = last_given(options, name, size);
    if (!given)
        return false;
    if (given->row->kind == OPTION_FLAG)
        return *(const bool *)((const char *)options->target + given->row->offset);
    return !given->row->default_value || strcmp(given->value, given->row->default_value) != 0;
}

/* `names` are separated by |. */
static bool any_is_on(const struct options *options, const char *names)
{
    for (size_t size; *names; names += size + (names[size] == '|')) {
        size = strcspn(names, "|");
        if (is_on(options, names, size))
            return true;
    }
    return false;
}

static bool rule_holds(const struct option_rule *rule, const struct options *options)
{
    return !any_is_on(options, rule->option) ||
           any_is_on(options, rule->others) == (rule->relation == OPTION_NEEDS);
}

enum error option_rules_check(const struct options *options, struct why *why)
{
    const struct option_table *table = options->table;
    for (size_t i = 0; i < table->rule_count; i++)
        if (table->rules[i].programs & options->program && !rule_holds(&table->rules[i], options))
            return fail(why, ERR_INVALID, "%s", table->rules[i].sentence);
    return ERR_NONE;
}
