/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_XALLOC_H
#define ZFARM_XALLOC_H

#include <stddef.h>

/* Memory, or the end of the process.
 *
 * Every buffer that a peer or an input can make grow has a limit of its own, so running out of
 * memory means that the machine is out of it. Then the process says so in one line on stderr and
 * ends with status 255: the rest of the farm treats that like any other death. None of these
 * returns NULL. */

void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *old, size_t size);
void *xmemdup(const void *data, size_t size);
char *xstrdup(const char *text);
char *xstrndup(const char *text, size_t size); /* at most `size` bytes of it */
/* printf into fresh memory; the caller frees it. */
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
