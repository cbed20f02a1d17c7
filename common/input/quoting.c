/* SPDX-License-Identifier: MPL-2.0 */
#include "common/input/quoting.h"

#include <string.h>

static char innermost_context(const struct quoting *q)
{
    if (q->depth == 0)
        return '\0';
    return q->closes[q->depth - 1];
}

static void open_context(struct quoting *q, char closes)
{
    if (q->depth == QUOTING_DEPTH_MAX)
        q->is_unknown = true;
    else
        q->closes[q->depth++] = closes;
}

static void feed_plain(struct quoting *q, char byte)
{
    if (byte == '\'' || byte == '"' || byte == '`')
        open_context(q, byte);
    else if (byte == '(')
        open_context(q, ')');
    else if (byte == '<' && q->last == '<')
        q->is_unknown = true;
    else if (byte == '#' && (!q->last || strchr(" \t\n;&|(", q->last)))
        q->is_comment = true;
}

static void feed_double_quoted(struct quoting *q, char byte)
{
    if (byte == '`' || (byte == '(' && q->last == '$'))
        open_context(q, byte == '`' ? '`' : ')');
}

void quoting_feed(struct quoting *q, char byte)
{
    char closes = innermost_context(q);
    if (q->is_comment)
        q->is_comment = byte != '\n';
    else if (q->is_escaped)
        q->is_escaped = false;
    else if (byte == '\\' && closes != '\'')
        q->is_escaped = true;
    else if (closes && byte == closes)
        q->depth--;
    else if (closes == '"')
        feed_double_quoted(q, byte);
    else if (closes != '\'')
        feed_plain(q, byte);
    q->last = byte;
}

bool quoting_is_quoted(const struct quoting *q)
{
    char closes = innermost_context(q);
    return !q->is_unknown && !q->is_comment && (closes == '\'' || closes == '"');
}
