/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SHOWN_H
#define ZFARM_SHOWN_H

#include "common/base/bytes.h"

/* What may be shown of text that a user, a peer or another program made up: nothing in it moves the
 * cursor, changes a colour or ends the line. A tab and a newline become a blank. Each other control becomes
 * a question mark: below U+0020, U+007F, U+0080 to U+009F in UTF-8, and a byte 0x80 to 0x9f that is no part of
 * a sequence of UTF-8, which a terminal that knows no UTF-8 obeys. Everything else stays as it is.
 *
 * log_line does this to each line. Whoever writes words to a terminal or a table without log_line calls
 * one of these. Output of tasks, and what another program reads (JSON Lines, the store), is not words. */
void shown_put(struct buf *to, struct bytes text);
/* The same in place; returns the new size, which is at most `size`. */
size_t shown_in_place(char *text, size_t size);
/* The same as a string that the caller frees. */
char *shown_copy(struct bytes text);

#endif
