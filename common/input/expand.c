/* SPDX-License-Identifier: MPL-2.0 */
#include "common/input/expand.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/quote.h"
#include "common/input/quoting.h"
#include "common/base/xalloc.h"

enum piece_kind {
    PIECE_LITERAL,
    PIECE_ALL, /* every argument, joined */
    PIECE_ONE, /* the argument at `index` */
    PIECE_SEQ,
    PIECE_SLOT,
    PIECE_LINE, /* every argument, joined, and never quoted: the task is a command line */
    PIECE_BREAK /* between two words of COMMAND */
};

enum piece_form { FORM_WHOLE, FORM_NO_EXTENSION, FORM_BASE, FORM_DIRECTORY, FORM_STEM };

struct template_piece {
    enum piece_kind kind;
    enum piece_form form;
    int index;         /* from 1; from -1 when counted from the end */
    size_t from, size; /* PIECE_LITERAL: in `literals` */
};

struct expand {
    unsigned mode; /* of enum expand_mode */
    struct template_piece *pieces;
    size_t piece_count;
    struct buf literals;
    bool program_varies;
    bool is_unquoted; /* with a shell: the task names the program, or is a command line */
    struct buf text;  /* of the last expansion: words ended by NUL, or one line */
    char **argv;
    size_t argv_capacity;
};

static struct template_piece *expand_add_piece(struct expand *expand, enum piece_kind kind)
{
    size_t size = (expand->piece_count + 1) * sizeof *expand->pieces;
    expand->pieces = xrealloc(expand->pieces, size);
    struct template_piece *piece = &expand->pieces[expand->piece_count++];
    *piece = (struct template_piece){.kind = kind};
    return piece;
}

static void add_literal(struct expand *expand, const char *text, size_t size)
{
    if (size == 0)
        return;
    struct template_piece *piece = expand_add_piece(expand, PIECE_LITERAL);
    piece->from = expand->literals.size;
    piece->size = size;
    buf_put(&expand->literals, text, size);
}

static bool parse_form(const char *text, size_t size, enum piece_form *form)
{
    static const char *const names[] = {"", ".", "/", "//", "/."};
    for (int i = FORM_WHOLE; i <= FORM_STEM; i++)
        if (size == strlen(names[i]) && memcmp(text, names[i], size) == 0) {
            *form = (enum piece_form)i;
            return true;
        }
    return false;
}

/* An argument's number, up to six digits; 0 when there is none. Moves `*at` behind it. */
static int parse_index(const char **at)
{
    const char *digit = *at + (**at == '-');
    int index = 0;
    for (int n = 0; n < 6 && *digit >= '0' && *digit <= '9'; n++)
        index = index * 10 + (*digit++ - '0');
    if (!index)
        return 0;
    index = **at == '-' ? -index : index;
    *at = digit;
    return index;
}

/* Reads a replacement in braces at `at`; returns its length, 0 when it is none. */
static size_t parse_braces(const char *at, struct template_piece *piece)
{
    const char *end = *at == '{' ? strchr(at, '}') : NULL;
    if (!end)
        return 0;
    const char *inside = at + 1;
    *piece = (struct template_piece){.kind = PIECE_ALL};
    if (end == inside + 1 && (*inside == '#' || *inside == '%')) {
        piece->kind = *inside == '#' ? PIECE_SEQ : PIECE_SLOT;
    } else {
        piece->index = parse_index(&inside);
        if (piece->index)
            piece->kind = PIECE_ONE;
        if (!parse_form(inside, (size_t)(end - inside), &piece->form))
            return 0;
    }
    return (size_t)(end - at) + 1;
}

static size_t parse_piece(const char *at, const char *replacement, struct template_piece *piece)
{
    if (replacement) {
        size_t size = strlen(replacement);
        if (strncmp(at, replacement, size) == 0) {
            *piece = (struct template_piece){.kind = PIECE_ALL};
            return size;
        }
    }
    size_t size = parse_braces(at, piece);
    bool plain = (piece->kind == PIECE_ALL || piece->kind == PIECE_ONE) && !piece->form;
    return size && replacement && plain ? 0 : size;
}

/* Returns whether there was a replacement in it. */
static bool compile_word(struct expand *expand, const char *word, const char *replacement)
{
    bool replaced = false;
    const char *literal = word, *at = word;
    while (*at) {
        struct template_piece piece = {0};
        size_t size = parse_piece(at, replacement, &piece);
        bool of_task = piece.kind != PIECE_SEQ && piece.kind != PIECE_SLOT;
        if (!size || (of_task && expand->mode & EXPAND_PIPE)) {
            at++;
            continue;
        }
        add_literal(expand, literal, (size_t)(at - literal));
        *expand_add_piece(expand, piece.kind) = piece;
        literal = at += size;
        replaced = true;
    }
    add_literal(expand, literal, (size_t)(at - literal));
    return replaced;
}

/* As GNU parallel has it: a replacement is in the first word, and no blank or = before it. */
static bool names_program(const struct expand *expand)
{
    for (size_t i = 0; i < expand->piece_count; i++) {
        const struct template_piece *piece = &expand->pieces[i];
        if (piece->kind != PIECE_LITERAL)
            return piece->kind != PIECE_BREAK;
        const uint8_t *text = expand->literals.data + piece->from;
        for (size_t j = 0; j < piece->size; j++)
            if (strchr(" \t\n=", text[j]))
                return false;
    }
    return false;
}

static void compile(struct expand *expand, const char *const *words, size_t count,
                    const char *replacement)
{
    bool replaced = false;
    for (size_t i = 0; i < count; i++) {
        if (i)
            expand_add_piece(expand, PIECE_BREAK);
        replaced |= compile_word(expand, words[i], replacement);
        if (i == 0)
            expand->program_varies = replaced;
    }
    if (count && !replaced && !(expand->mode & EXPAND_PIPE)) {
        expand_add_piece(expand, PIECE_BREAK);
        expand_add_piece(expand, PIECE_ALL);
    }
    if (!count)
        expand_add_piece(expand, PIECE_LINE);
    expand->is_unquoted = names_program(expand);
}

static bool is_of_task(const struct template_piece *piece)
{
    return piece->kind == PIECE_ALL || piece->kind == PIECE_ONE;
}

/* Whether what a task puts in would stand in quotes of COMMAND's own: quoted once more it would be bare. */
static bool is_quoted_already(const struct expand *expand)
{
    struct quoting quoting = {0};
    for (size_t i = 0; i < expand->piece_count; i++) {
        const struct template_piece *piece = &expand->pieces[i];
        if (is_of_task(piece) && quoting_is_quoted(&quoting))
            return true;
        for (size_t j = 0; piece->kind == PIECE_LITERAL && j < piece->size; j++)
            quoting_feed(&quoting, (char)expand->literals.data[piece->from + j]);
        if (piece->kind != PIECE_LITERAL)
            quoting_feed(&quoting, piece->kind == PIECE_BREAK ? ' ' : 'x');
    }
    return false;
}

/* {= perl =} of GNU parallel, in one word or several, also with a number: {2= perl =}. */
static bool has_perl(const char *const *words, size_t count)
{
    bool open = false;
    for (size_t i = 0; i < count; i++)
        for (const char *at = words[i]; *at; at++) {
            if (open && at[0] == '=' && at[1] == '}')
                return true;
            size_t number = *at == '{' ? strspn(at + 1, "-+0123456789") : 0;
            if (*at == '{' && at[1 + number] == '=') {
                open = true;
                at += 1 + number;
            }
        }
    return false;
}

enum error expand_new(struct expand **result, unsigned mode, const char *const *words, size_t count,
                      const char *replacement, struct why *why)
{
    if (replacement && !*replacement)
        return fail(why, ERR_INVALID, "-I needs a replacement string that is not empty");
    if (mode != EXPAND_SHELL && !count)
        return fail(why, ERR_INVALID,
                    "there is no COMMAND: give one, or --shell to run each task "
                    "as a command line");
    if (replacement &&
        strcmp(replacement, "{}") == 0) /* what it is without -I: {1} is one as well */
        replacement = NULL;
    if (has_perl(words, count))
        return fail(
            why, ERR_INVALID,
            "COMMAND has {= perl =} of GNU parallel, and zfarm runs no Perl: use {.} {/} {//} "
            "{/.}, or --shell and sed");
    struct expand *expand = xcalloc(1, sizeof *expand);
    expand->mode = mode;
    compile(expand, words, count, replacement);
    if (mode == EXPAND_SHELL && !expand->is_unquoted && is_quoted_already(expand)) {
        expand_free(&expand);
        return fail(why, ERR_INVALID,
                    "%s is quoted already: what a task puts into a --shell COMMAND is one quoted "
                    "word, so take the "
                    "quotes around it away",
                    replacement ? replacement : "{}");
    }
    *result = expand;
    return ERR_NONE;
}

void expand_free(struct expand **handle)
{
    struct expand *expand = *handle;
    *handle = NULL;
    if (!expand)
        return;
    buf_free(&expand->literals);
    buf_free(&expand->text);
    free(expand->pieces);
    free(expand->argv);
    free(expand);
}

bool expand_program_varies(const struct expand *expand)
{
    return expand->program_varies;
}

/* The forms are those of GNU parallel: {.} is s:\.[^/.]*$::, {/} is s:.* /:: (without the blank),
 * {//} is dirname. */
static struct bytes without_extension(struct bytes path)
{
    for (size_t i = path.size; i > 0 && path.data[i - 1] != '/'; i--)
        if (path.data[i - 1] == '.')
            return (struct bytes){path.data, i - 1};
    return path;
}

static struct bytes base(struct bytes path)
{
    const uint8_t *slash = path.size ? memrchr(path.data, '/', path.size) : NULL;
    if (!slash)
        return path;
    size_t skipped = (size_t)(slash - path.data) + 1;
    return (struct bytes){slash + 1, path.size - skipped};
}

static size_t without_slashes(struct bytes path)
{
    size_t size = path.size;
    while (size && path.data[size - 1] == '/')
        size--;
    return size;
}

static struct bytes directory(struct bytes path)
{
    bool absolute = path.size && path.data[0] == '/';
    path.size = without_slashes(path);
    while (path.size && path.data[path.size - 1] != '/')
        path.size--;
    path.size = without_slashes(path);
    return path.size ? path : bytes_of(absolute ? "/" : ".");
}

static struct bytes in_form(struct bytes arg, enum piece_form form)
{
    switch (form) {
    case FORM_WHOLE:
        return arg;
    case FORM_NO_EXTENSION:
        return without_extension(arg);
    case FORM_BASE:
        return base(arg);
    case FORM_DIRECTORY:
        return directory(arg);
    case FORM_STEM:
        return without_extension(base(arg));
    }
    return arg;
}

/* False: the task has none with this number. */
static bool argument_at(struct task task, int index, struct bytes *found)
{
    size_t at = 0;
    struct bytes arg;
    int number = index > 0 ? 1 : -(int)task_arg_count(task);
    while (task_next_arg(task, &at, &arg)) {
        if (number == index) {
            *found = arg;
            return true;
        }
        number++;
    }
    return false;
}

/* Ends a word: what follows is the next one. */
static void put_break(struct expand *expand)
{
    buf_put_byte(&expand->text, expand->mode & EXPAND_SHELL ? ' ' : '\0');
}

static void put_value(struct expand *expand, struct bytes value, enum piece_form form)
{
    value = in_form(value, form);
    if (expand->mode & EXPAND_SHELL && !expand->is_unquoted)
        shell_quote(&expand->text, value);
    else
        buf_put_bytes(&expand->text, value);
}

static void put_all(struct expand *expand, struct task task, enum piece_form form)
{
    size_t at = 0;
    struct bytes arg;
    for (bool first = true; task_next_arg(task, &at, &arg); first = false) {
        if (!first)
            put_break(expand);
        put_value(expand, arg, form);
    }
}

static void put_piece(struct expand *expand, const struct template_piece *piece,
                      const struct expand_values *values)
{
    struct bytes arg;
    switch (piece->kind) {
    case PIECE_LITERAL:
        buf_put(&expand->text, expand->literals.data + piece->from, piece->size);
        break;
    case PIECE_ALL:
        put_all(expand, values->task, piece->form);
        break;
    case PIECE_ONE:
        if (argument_at(values->task, piece->index, &arg))
            put_value(expand, arg, piece->form);
        break;
    case PIECE_SEQ:
        buf_printf(&expand->text, "%" PRIu64, values->seq);
        break;
    case PIECE_SLOT:
        buf_printf(&expand->text, "%u", values->slot);
        break;
    case PIECE_LINE:
        task_join(values->task, &expand->text);
        break;
    case PIECE_BREAK:
        put_break(expand);
        break;
    }
}

static bool has_nul(struct task task)
{
    size_t at = 0;
    struct bytes arg;
    while (task_next_arg(task, &at, &arg))
        if (arg.size && memchr(arg.data, '\0', arg.size))
            return true;
    return false;
}

/* Behind the last piece of the word that begins at piece `at`. */
static size_t end_of_word(const struct expand *expand, size_t at)
{
    while (at < expand->piece_count && expand->pieces[at].kind != PIECE_BREAK)
        at++;
    return at;
}

/* Whether the word that begins at piece `at` is of arguments alone that the task does not have: then it
 * is none. */
static bool is_missing(const struct expand *expand, size_t at, struct task task)
{
    struct bytes arg;
    size_t end = end_of_word(expand, at);
    for (size_t i = at; i < end; i++)
        if (expand->pieces[i].kind != PIECE_ONE || argument_at(task, expand->pieces[i].index, &arg))
            return false;
    return end > at;
}

/* Fills `text`, which then ends with a NUL. */
static enum error expand_text(struct expand *expand, const struct expand_values *values)
{
    if (!(expand->mode & EXPAND_PIPE) && has_nul(values->task))
        return ERR_INVALID;
    buf_clear(&expand->text);
    bool shell = expand->mode & EXPAND_SHELL;
    for (size_t i = 0; i < expand->piece_count; i++) {
        const struct template_piece *piece = &expand->pieces[i];
        if (!shell && piece->kind == PIECE_BREAK && is_missing(expand, i + 1, values->task))
            i = end_of_word(expand, i + 1) - 1;
        else
            put_piece(expand, piece, values);
    }
    buf_put_byte(&expand->text, '\0');
    return ERR_NONE;
}

static void add_word(struct expand *expand, size_t count, char *word)
{
    if (count >= expand->argv_capacity) {
        expand->argv_capacity = expand->argv_capacity ? expand->argv_capacity * 2 : 16;
        expand->argv = xrealloc(expand->argv, expand->argv_capacity * sizeof *expand->argv);
    }
    expand->argv[count] = word;
}

static void split_words(struct expand *expand)
{
    size_t count = 0;
    char *at = (char *)expand->text.data, *end = at + expand->text.size;
    for (; at < end; at += strlen(at) + 1)
        add_word(expand, count++, at);
    add_word(expand, count, NULL);
}

enum error expand_argv(struct expand *expand, const struct expand_values *values,
                       char *const **argv)
{
    static char sh[] = "sh", dash_c[] = "-c";
    enum error error = expand_text(expand, values);
    if (error)
        return error;
    if (expand->mode & EXPAND_SHELL) {
        add_word(expand, 0, sh);
        add_word(expand, 1, dash_c);
        add_word(expand, 2, (char *)expand->text.data);
        add_word(expand, 3, NULL);
    } else {
        split_words(expand);
    }
    *argv = expand->argv;
    return ERR_NONE;
}

enum error expand_line(struct expand *expand, const struct expand_values *values, struct buf *to)
{
    enum error error = expand_text(expand, values);
    if (error)
        return error;
    const char *at = (const char *)expand->text.data, *end = at + expand->text.size;
    if (expand->mode & EXPAND_SHELL) {
        buf_put_text(to, at);
        return ERR_NONE;
    }
    for (bool first = true; at < end; at += strlen(at) + 1, first = false) {
        if (!first)
            buf_put_byte(to, ' ');
        shell_quote(to, bytes_of(at));
    }
    return ERR_NONE;
}
