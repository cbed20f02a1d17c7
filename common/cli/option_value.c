/* SPDX-License-Identifier: MPL-2.0 */
#include "common/cli/option_value.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "common/base/clock.h"

struct unit {
    char letter; /* 0: no letter */
    uint64_t factor;
};

/* As GNU parallel has them: capitals are powers of 1024, small letters of 1000. */
static const struct unit size_units[] = {
    {0, 1},
    {'K', UINT64_C(1) << 10},
    {'M', UINT64_C(1) << 20},
    {'G', UINT64_C(1) << 30},
    {'T', UINT64_C(1) << 40},
    {'P', UINT64_C(1) << 50},
    {'k', 1000},
    {'m', 1000000},
    {'g', 1000000000},
    {'t', UINT64_C(1000000000000)},
    {'p', UINT64_C(1000000000000000)},
    {0, 0},
};

static const struct unit second_units[] = {
    {0, NS_PER_S},          {'s', NS_PER_S},         {'m', 60 * NS_PER_S},
    {'h', 3600 * NS_PER_S}, {'d', 86400 * NS_PER_S}, {0, 0},
};

/* Digits, perhaps a point and more digits; moves `*at` behind them. False if there is no digit or
 * the number does not fit. */
static bool take_decimal(const char **at, uint64_t *whole, double *part)
{
    const char *start = *at;
    *whole = 0;
    *part = 0;
    for (; isdigit((unsigned char)**at); ++*at)
        if (__builtin_mul_overflow(*whole, UINT64_C(10), whole) ||
            __builtin_add_overflow(*whole, (uint64_t)(**at - '0'), whole))
            return false;
    size_t digits = (size_t)(*at - start);
    if (**at == '.') {
        double unit = 0.1;
        for (++*at; isdigit((unsigned char)**at); ++*at, unit /= 10, digits++)
            *part += unit * (**at - '0');
    }
    return digits > 0;
}

/* A number with a letter of `units`. */
static bool take_quantity(const char **at, const struct unit *units, uint64_t *value)
{
    uint64_t whole;
    double part;
    if (!take_decimal(at, &whole, &part))
        return false;
    const struct unit *unit = units;
    for (size_t i = 1; **at && units[i].letter; i++)
        if (units[i].letter == **at)
            unit = &units[i];
    *at += unit->letter != 0;
    return !__builtin_mul_overflow(whole, unit->factor, value) &&
           !__builtin_add_overflow(*value, (uint64_t)(part * (double)unit->factor + 0.5), value);
}

/* 1.5, 90s, or a sum such as 1h30m. */
static bool parse_seconds(const char *text, uint64_t *ns)
{
    *ns = 0;
    do {
        uint64_t more;
        if (!take_quantity(&text, second_units, &more) || __builtin_add_overflow(*ns, more, ns))
            return false;
    } while (*text && text[-1] > '9'); /* only a letter may be followed by more */
    return *text == '\0';
}

static bool parse_size(const char *text, uint64_t *bytes)
{
    return take_quantity(&text, size_units, bytes) && *text == '\0';
}

static bool parse_count(const char *text, uint64_t *count)
{
    double part;
    return take_decimal(&text, count, &part) && *text == '\0' && text[-1] != '.' && part == 0;
}

static bool parse_flag(const char *text, bool *flag)
{
    static const char *const words[] = {"0", "false", "no", "1", "true", "yes"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(text, words[i]) == 0) {
            *flag = i >= 3;
            return true;
        }
    return false;
}

static bool parse_choice(const char *text, const char *choices, unsigned *choice)
{
    size_t size = strlen(text);
    *choice = 0;
    for (const char *at = choices;; at += strcspn(at, "|") + 1, ++*choice) {
        size_t word = strcspn(at, "|");
        if (word == size && strncmp(at, text, size) == 0)
            return true;
        if (!at[word])
            return false;
    }
}

static enum error invalid(const char *text, struct why *why, const char *takes)
{
    return fail(why, ERR_INVALID, "'%.200s' is not one of its values: it takes %s", text, takes);
}

static enum error store_number(const struct option_row *row, const char *text, uint64_t *to,
                               struct why *why)
{
    bool size = row->kind != OPTION_COUNT;
    if (row->kind == OPTION_LIMIT && strcasecmp(text, "none") == 0) {
        *to = OPTION_NO_LIMIT;
        return ERR_NONE;
    }
    uint64_t value, max = row->max ? row->max : UINT64_MAX;
    if (!(size ? parse_size(text, &value) : parse_count(text, &value)))
        return invalid(text, why,
                       size ? row->kind == OPTION_LIMIT
                                  ? "none, or a number of bytes: 4096, 64K (1024 each), 1.5M or 2G"
                                  : "a number of bytes: 4096, 64K (1024 each), 64k (1000 each), "
                                    "1.5M or 2G"
                            : "a whole number");
    if (value < row->min)
        return fail(why, ERR_INVALID, "'%.200s' is too small: it takes %" PRIu64 " or more", text,
                    row->min);
    if (value > max)
        return fail(why, ERR_INVALID, "'%.200s' is too large: it takes %" PRIu64 " at most", text,
                    max);
    *to = value;
    return ERR_NONE;
}

enum error option_value_store(const struct option_row *row, const char *text, void *target,
                              struct why *why)
{
    void *to = (char *)target + row->offset;
    bool flag = true;
    uint64_t ns;
    unsigned choice;
    switch (row->kind) {
    case OPTION_FLAG:
    case OPTION_SET:
        if (text && !parse_flag(text, &flag))
            return invalid(text, why, "yes or no, true or false, 1 or 0");
        if (row->kind == OPTION_FLAG)
            *(bool *)to = flag;
        else if (flag)
            *(unsigned *)to = row->number;
        return ERR_NONE;
    case OPTION_TEXT:
        *(const char **)to = text;
        return ERR_NONE;
    case OPTION_WORDS:
        words_add(to, text);
        return ERR_NONE;
    case OPTION_CHOICE:
        if (!parse_choice(text, row->choices, &choice))
            return fail(why, ERR_INVALID, "'%.200s' is not one of its values: it takes one of %s",
                        text, row->choices);
        *(unsigned *)to = choice;
        return ERR_NONE;
    case OPTION_COUNT:
    case OPTION_SIZE:
    case OPTION_LIMIT:
        return store_number(row, text, to, why);
    case OPTION_SECONDS:
        if (!parse_seconds(text, &ns))
            return invalid(text, why,
                           "seconds, with a fraction or a unit: 1.5, 90s, 10m, 1h30m, 2d");
        *(uint64_t *)to = ns < row->min ? row->min : ns;
        return ERR_NONE;
    case OPTION_JOBS:
        return jobs_parse(text, to, why);
    case OPTION_PARSED:
        return row->parse(text, to, why);
    case OPTION_RETIRED:
        return fail(why, ERR_INVALID, "it is called --%s now, here and in variables", row->instead);
    }
    return ERR_INVALID;
}
