/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_QUOTING_H
#define ZFARM_QUOTING_H

#include <stdbool.h>
#include <stddef.h>

/* Follows the text of a shell command, byte by byte, and says whether the next byte stands in quotes
 * (POSIX.1-2017, Shell Command Language, 2.2). A command substitution begins anew, also within double
 * quotes. A comment holds no quotes. A here-document is not understood: from its << on nothing is said
 * to be in quotes. Zero-initialised is the beginning of a command; embed it by value. */
enum { QUOTING_DEPTH_MAX = 32 };

struct quoting {
    char closes[QUOTING_DEPTH_MAX]; /* each open context: one of ' " ) ` */
    size_t depth;
    char last;       /* the byte before; 0: there is none */
    bool is_escaped; /* the next byte stands for itself */
    bool is_comment;
    bool is_unknown; /* a here-document has begun, or there are too many contexts */
};

void quoting_feed(struct quoting *q, char byte);
bool quoting_is_quoted(const struct quoting *q);

#endif
