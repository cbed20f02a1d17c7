/* SPDX-License-Identifier: MPL-2.0 */
#include "common/cli/options_help.h"

#include <string.h>

enum { HELP_COLUMN = 27, HELP_WIDTH = 79 };

/* "-j, -P, --jobs N"; "-I STR, --replace[=STR]" */
static void options_help_put_name(struct buf *to, const struct option_row *row)
{
    for (const char *letter = row->letters; letter && *letter; letter++)
        buf_printf(to, "-%c%s%s, ", *letter, row->optional ? " " : "",
                   row->optional ? row->value : "");
    buf_printf(to, "--%s", row->name);
    if (row->value)
        buf_printf(to, row->optional ? "[=%s]" : " %s", row->value);
}

static void options_help_put_line(struct buf *to, const struct option_row *row)
{
    size_t start = to->size;
    buf_put_text(to, "  ");
    options_help_put_name(to, row);
    do
        buf_put_byte(to, ' ');
    while (to->size - start < HELP_COLUMN);
    buf_put_text(to, row->help);
    if (row->default_value)
        buf_printf(to, " (%s)", row->default_value);
    buf_put_byte(to, '\n');
}

/* One more item of a wrapped paragraph that began at `*start`. */
static void put_wrapped(struct buf *to, size_t *start, const char *item, size_t size)
{
    if (to->size - *start + 1 + size + 1 > HELP_WIDTH) {
        buf_put_text(to, "\n     ");
        *start = to->size - strlen("     ");
    }
    buf_put_byte(to, ' ');
    buf_put(to, item, size);
}

/* What the options of the program that have no line of their own are called. */
static void put_others(struct buf *to, const struct option_table *table, unsigned program)
{
    size_t start = to->size;
    struct buf name = {0};
    buf_put_text(to, "Also:");
    for (size_t i = 0; i < table->count; i++) {
        const struct option_row *row = &table->rows[i];
        if (!(row->programs & program & row->brief) || row->kind == OPTION_RETIRED)
            continue;
        buf_clear(&name);
        options_help_put_name(&name, row);
        buf_put_byte(&name, ',');
        put_wrapped(to, &start, (const char *)name.data, name.size);
    }
    put_wrapped(to, &start, "--help, --version", strlen("--help, --version"));
    buf_put_byte(to, '\n');
    buf_free(&name);
}

void options_help(const struct option_table *table, const struct option_program *program,
                  struct buf *to)
{
    buf_put_text(to, program->usage);
    for (size_t i = 0; i < table->count; i++)
        if (table->rows[i].programs & program->bit & ~table->rows[i].brief &&
            table->rows[i].kind != OPTION_RETIRED)
            options_help_put_line(to, &table->rows[i]);
    put_others(to, table, program->bit);
    if (program->more)
        buf_put_text(to, program->more);
}
