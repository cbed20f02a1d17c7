/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_DIRECT_H
#define ZFARM_DIRECT_H

#include "sink/output/format.h"
#include "sink/output/order.h"
#include "sink/output/output.h"

/* Output without a store: a result is printed when it comes or, with an order window, when all before it are.
 * Owns: the order window, results that it has no room for, tries that failed. Decides: when a result is stored: when
 * its bytes are written, with -k when the window has it. Called by: outputs.c, through `direct_output`.
 * Calls: files.h, format.h, order.h, tries.h, steps.h. */
struct direct_options {
    bool keep_order;
    uint64_t spool_max; /* bytes of the order window on the disk */
    const char *tmpdir;
};

struct direct;
extern const struct output_kind direct_output;

/* `files` and `formatter` are the caller's and outlive it; it tells the formatter of tries. */
struct direct *direct_new(const struct direct_options *options, struct output_files *files,
                          struct formatter *formatter);

#endif
