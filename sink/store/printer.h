/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SINK_PRINTER_H
#define ZFARM_SINK_PRINTER_H

#include "sink/store/store.h"

/* What is to be printed out of a store: with -k every result, each when its turn has come, so that no
 * order window and no spool are needed; without it those of an earlier run, for an output that does
 * not have them yet. What stands behind a task that was not run, because the job was interrupted, is
 * printed when the job is taken up again. Zero-initialised prints nothing; embed it by value. */
struct printer {
    struct store *store;
    bool ordered;
    uint64_t next;         /* ordered: the first task that is not printed */
    struct seqset waiting; /* committed, not printed */
};

void printer_free(struct printer *p);
/* These are in the store now. */
void printer_add(struct printer *p, const struct seqset *tasks);
/* The next result to be printed now, read from the store and handed to `print`. Returns false in
 * *printed if there is none. ERR_IO. */
enum error printer_turn(struct printer *p,
                        void (*print)(void *context, const struct result *result), void *context,
                        bool *printed, struct why *why);
bool printer_ready(const struct printer *p); /* printer_turn would print something */

#endif
