/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/net/certificate.h"
#include "common/base/endpoint.h"
#include "common/wire/halt_rule.h"
#include "common/cli/options.h"
#include "common/cli/timeout.h"
#include "common/base/xalloc.h"
#include "zfarm/hosts/host_name.h"

/* What is read as text: endpoints, as peers and people tell them; certificates; hosts; command lines.
 * The first octet chooses. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- endpoints ---- */

static void must_read_back(const struct endpoint *endpoint)
{
    char text[ENDPOINT_TEXT_SIZE], again[ENDPOINT_TEXT_SIZE];
    struct endpoint read;
    endpoint_format(endpoint, text);
    enum error error = endpoint_parse(text, ENDPOINT_BIND, &read, NULL);
    assert(!error);
    endpoint_format(&read, again);
    assert(strcmp(text, again) == 0);
    assert(endpoint_is_loopback(&read) == endpoint_is_loopback(endpoint));
    assert(!endpoint_is_loopback(endpoint) || !endpoint_is_wildcard(endpoint));
}

/* An endpoint, and behind a blank a host to be put in. */
static void try_endpoint(char *text, unsigned use)
{
    struct endpoint endpoint, other;
    struct why why = {""};
    char *host = strchr(text, ' ');
    if (host)
        *host++ = '\0';
    if (endpoint_parse(text, use ? ENDPOINT_BIND : ENDPOINT_CONNECT, &endpoint, &why)) {
        assert(why.text[0]);
        return;
    }
    must_read_back(&endpoint);
    assert(use || endpoint.ipc || endpoint.port);
    if (!endpoint_next_port(&endpoint, &other, &why))
        must_read_back(&other);
    if (host && !endpoint_set_host(&endpoint, host, &why))
        must_read_back(&endpoint);
}

/* ---- certificates ---- */

static void must_be_in(const char *value, const char *text)
{
    size_t size = strlen(value);
    assert(size < CERTIFICATE_VALUE_SIZE && !strpbrk(value, "\"\n"));
    assert(strstr(text, value));
}

static void try_certificate(const char *text)
{
    struct certificate found;
    certificate_read(text, &found);
    must_be_in(found.public, text);
    must_be_in(found.secret, text);
    must_be_in(found.role, text);
}

/* ---- hosts ---- */

/* What ssh is given must not be taken for an option. */
static void try_host(const char *text)
{
    struct host_name name;
    struct why why = {""};
    enum error error = host_name_parse(&name, text, &why);
    assert(error ? why.text[0] && !name.target && !name.slots
                 : !name.target || name.target[0] != '-');
    if (!error && name.slots)
        assert(name.slots[strspn(name.slots, "0123456789")] == '\0' && atol(name.slots) > 0);
    host_name_free(&name);
}

/* ---- command lines ---- */

struct target {
    struct words words;
    struct jobs jobs;
    const char *text;
    bool flag;
    unsigned choice, set;
    uint64_t count, size, seconds, limit;
    struct timeout timeout;
    struct halt_rule halt;
};

#define AT(member) offsetof(struct target, member)

enum { FUZZ = 1, CHILD = 2, BOTH = FUZZ | CHILD };

static const struct option_row rows[] = {
    {"words", "w", BOTH, OPTION_WORDS, AT(words), "W", .help = "w"},
    {"jobs", "jP", BOTH, OPTION_JOBS, AT(jobs), "N", .help = "j"},
    {"text", "t", BOTH, OPTION_TEXT, AT(text), "T", .help = "t"},
    {"flag", "f", BOTH, OPTION_FLAG, AT(flag), .help = "f"},
    {"choice", "c", BOTH, OPTION_CHOICE, AT(choice), "A", .help = "c", .choices = "one|two|three"},
    {"set", "s", FUZZ, OPTION_SET, AT(set), .help = "s", .number = 1},
    {"no-set", NULL, FUZZ, OPTION_SET, AT(set), .help = "s", .number = 2},
    {"count", "n", BOTH, OPTION_COUNT, AT(count), "N", .help = "n", .default_value = "7", .min = 1,
     .max = 1000},
    {"size", "b", BOTH, OPTION_SIZE, AT(size), "B", .help = "b", .min = 1,
     .max = UINT64_C(1) << 40},
    {"limit", "l", BOTH, OPTION_LIMIT, AT(limit), "B", .help = "l"},
    {"seconds", "d", BOTH, OPTION_SECONDS, AT(seconds), "S", .help = "d"},
    {"timeout", NULL, BOTH, OPTION_PARSED, AT(timeout), "S", .help = "t", .parse = timeout_parse},
    {"halt", NULL, BOTH, OPTION_PARSED, AT(halt), "H", .help = "h", .parse = halt_rule_parse},
};

static const struct option_rule rules[] = {
    {FUZZ, "flag|text", OPTION_EXCLUDES, "set|count", "not both"},
    {FUZZ, "size|words", OPTION_NEEDS, "limit|jobs", "one of them"},
};

static const struct option_table table = {rows, sizeof rows / sizeof *rows, rules,
                                          sizeof rules / sizeof *rules};
static const struct option_program fuzz_program = {FUZZ, "fuzz", "fuzz\n", NULL};
static const struct option_program child_program = {CHILD, "child", "child\n", NULL};

static enum options_outcome take(struct options *options, const struct option_program *program,
                                 struct target *target, int argc, char **argv)
{
    struct why why = {""};
    enum options_outcome outcome = options_take(options, &table, program, target, argc, argv, &why);
    assert(outcome != OPTIONS_WRONG || why.text[0]);
    assert(outcome != OPTIONS_TAKEN || options->word_count >= 0);
    assert(outcome != OPTIONS_TAKEN || options->words + options->word_count == argv + argc);
    return outcome;
}

/* What a child is given must be taken by it, and to the same effect. */
static void pass_on(const struct options *options, const struct target *target)
{
    struct words argv = {0};
    struct options again;
    struct target child = {.choice = 0};
    words_add(&argv, "child");
    options_pass_on(options, CHILD, &argv);
    enum options_outcome outcome =
        take(&again, &child_program, &child, (int)argv.count, argv.items);
    assert(outcome == OPTIONS_TAKEN && again.word_count == 0);
    assert(child.words.count == target->words.count && child.count == target->count);
    assert(child.size == target->size && child.limit == target->limit);
    assert(child.seconds == target->seconds && child.jobs.number == target->jobs.number);
    options_free(&again);
    words_free(&argv);
}

/* Each line is a word. */
static void try_command_line(char *text)
{
    struct words argv = {0};
    words_add(&argv, "fuzz");
    for (char *word, *rest = text; (word = strsep(&rest, "\n"));)
        words_add(&argv, word);
    struct options options;
    struct target target = {.choice = 0};
    if (take(&options, &fuzz_program, &target, (int)argv.count, argv.items) == OPTIONS_TAKEN)
        pass_on(&options, &target);
    options_free(&options);
    words_free(&argv);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    char *text = xstrndup((const char *)data + 1, size - 1);
    switch (data[0] % 5) {
    case 0:
    case 1:
        try_endpoint(text, data[0] % 5);
        break;
    case 2:
        try_certificate(text);
        break;
    case 3:
        try_host(text);
        break;
    default:
        try_command_line(text);
    }
    free(text);
    return 0;
}
