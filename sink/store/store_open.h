/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_STORE_OPEN_H
#define ZFARM_STORE_OPEN_H

#include "sink/store/store.h"
#include "sink/store/store_db.h"

/* How a sink gets a store: its file is made or looked at, locked, and asked what it has from before.
 * Owns: the connection and the lock. Decides: whether the job may go on in it (another sink, another COMMAND, damage),
 * whether a new round begins, what counts as stored before. Called by: store.c. Calls: store_db.h. */
struct store_opened {
    struct store_db db;
    int lock; /* a descriptor of the file: closed after SQLite's, or its own locks would go with it */
    struct store_options options;
    bool retries; /* what failed is yet to be moved out of the way */
};

/* Of one that begins as {.lock = -1, .options = ...}. The errors of store_open, with words; then it is closed with
 * store_open_close all the same. */
enum error store_open_file(struct store_opened *s, bool *is_new, struct why *why);
/* What it has from before, and that it was opened once more: that is committed. */
enum error store_open_past(struct store_opened *s, struct store_past *past, struct why *why);
void store_open_close(struct store_opened *s);

#endif
