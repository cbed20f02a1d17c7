/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SPOOL_H
#define ZFARM_SPOOL_H

#include <poll.h>

#include "common/input/source.h"

/* The spool of --spool DIR: piped input, kept in a directory (docs/store.md has the two files), so that
 * each life of the ventilator reads all of it from the beginning, and another run of zfarm goes on
 * with what an earlier one had read.
 *
 *     input, read as it comes --> DIR/input --> a socket that is the stdin of the ventilator
 *
 * The ventilator gets nothing that is not on its way to the disk, and the end of the input only when
 * DIR/end is there. A spool that has something from before is compared with what comes: nothing is
 * handed on that has not come again. Only an input that ends without a byte, or a terminal, counts as
 * not given; then the spool stands for it, if it has its end.
 *
 * Writing and comparing wait for the disk; nothing waits for the input or for the ventilator. Memory:
 * two buffers of SPOOL_CHUNK. When the disk is full it reads no input, tries again each second, and says
 * so (log.h). Expects that SIGXFSZ is ignored. */
struct input_spool;

enum { SPOOL_CHUNK = 64 << 10, SPOOL_POLL_MAX = 2 };

/* Opens or makes the spool in `dir` (which is made, if its parent is there) for what is read from
 * `from_fd`. `source` says how it is split, for words about tasks. The texts must stay valid. If there is
 * a spool with an end, it is read once and compared with its hash. If there is one without, it waits for
 * the first byte of the input. ERR_IN_USE: another run has it. ERR_INVALID: no end, and no input to go
 * on with; or damaged. ERR_ACCESS, ERR_IO. With words; then `*spool` is NULL. */
enum error input_spool_open(struct input_spool **spool, const char *dir, int from_fd,
                            const struct source_options *source, struct why *why);
/* A ventilator begins to read: `*fd` becomes its stdin. `*hold_fd` must stay open in it, too: then its
 * input does not end when this process dies, only when the spool has ended. The caller closes both.
 * ERR_IO with words. */
enum error input_spool_begin(struct input_spool *spool, int *fd, int *hold_fd, struct why *why);
/* What is waited for; returns how many. */
size_t input_spool_poll(const struct input_spool *spool,
                        struct pollfd items[static SPOOL_POLL_MAX]);
uint64_t input_spool_deadline(const struct input_spool *spool); /* monotonic; NEVER */
/* Reads and hands on what goes. ERR_INVALID: the input is another one; ERR_IO. With words, once: then
 * nothing is read any more, and the ventilator waits for ever. */
enum error input_spool_turn(struct input_spool *spool, uint64_t now_ns, struct why *why);
/* Whether the end is on the disk, and so all of the input. */
bool input_spool_is_whole(const struct input_spool *spool);
/* `remove`: the files go, too, and the directory if nothing else is in it. Takes NULL. */
void input_spool_close(struct input_spool **spool, bool remove);

#endif
