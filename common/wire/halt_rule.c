/* SPDX-License-Identifier: MPL-2.0 */
#include "common/wire/halt_rule.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *written_out(const char *text)
{
    static const char *const forms[][2] = {{"0", "never"},
                                           {"1", "soon,fail=1"},
                                           {"2", "now,fail=1"},
                                           {"-1", "soon,success=1"},
                                           {"-2", "now,success=1"}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strcmp(text, forms[i][0]) == 0)
            return forms[i][1];
    return text;
}

/* Takes `word` off the front of `*text`. */
static bool take_word(const char **text, const char *word)
{
    size_t size = strlen(word);
    if (strncmp(*text, word, size) != 0)
        return false;
    *text += size;
    return true;
}

static bool halt_rule_take_number(const char *text, struct halt_rule *rule)
{
    char *end;
    errno = 0;
    rule->count = isdigit((unsigned char)*text) ? strtoull(text, &end, 10) : 0;
    if (rule->count == 0 || errno)
        return false;
    rule->percent = strcmp(end, "%") == 0;
    return *end == '\0' || (rule->percent && rule->count <= 100);
}

enum error halt_rule_parse(const char *text, void *target, struct why *why)
{
    struct halt_rule rule = {0};
    const char *rest = written_out(text);
    bool fine = strcmp(rest, "never") == 0;
    if (!fine && isdigit((unsigned char)*rest)) { /* 10% */
        rule = (struct halt_rule){.when = HALT_SOON, .why = HALT_FAIL};
        fine = halt_rule_take_number(rest, &rule) && rule.percent;
    } else if (!fine) {
        rule.when = take_word(&rest, "now,") ? HALT_NOW : take_word(&rest, "soon,") ? HALT_SOON : 0;
        rule.why = take_word(&rest, "fail=")      ? HALT_FAIL
                   : take_word(&rest, "success=") ? HALT_SUCCESS
                                                  : HALT_DONE;
        fine = rule.when && (rest[-1] == '=' || take_word(&rest, "done=")) &&
               halt_rule_take_number(rest, &rule);
    }
    if (!fine)
        return fail(why, ERR_INVALID,
                    "'%.200s' is not one of its values: it takes never, or now or soon, then fail, "
                    "success or done, and how many: now,fail=1 or soon,done=10%%",
                    text);
    *(struct halt_rule *)target = rule;
    return ERR_NONE;
}
