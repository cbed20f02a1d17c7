/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_QUOTE_H
#define ZFARM_QUOTE_H

#include "common/base/bytes.h"

/* Appends `word` so that a POSIX shell reads it as one word, and as GNU parallel writes it: in
 * quotes only where they are needed. `word` holds no NUL. */
void shell_quote(struct buf *to, struct bytes word);

#endif
