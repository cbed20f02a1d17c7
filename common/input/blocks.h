/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_BLOCKS_H
#define ZFARM_BLOCKS_H

#include "common/input/inputs.h"
#include "common/input/reader.h"

/* Cuts the bytes of some files, read one after the other as cat would, into blocks of whole records.
 *
 * A border of records is where `recend` stands before it and `recstart` behind it. A block ends at the
 * last border within `block` bytes; if there is none, at the first one within `block_max` bytes.
 * What reaches beyond that is read over and never held. All blocks together are the input, byte for
 * byte, and depend on it alone, not on how it arrives. Nothing blocks (reader.h). */
struct blocks_options {
    const char
        *recend; /* NULL: a newline, or nothing if there is a recstart; \n \t \r \0 as in C */
    const char *recstart; /* NULL: nothing. Both empty: a border is everywhere */
    size_t block;         /* bytes, at most block_max; 0: block_max */
    size_t block_max;
};

struct blocks;

/* Opens all files. ERR_NONE: `*blocks` is the caller's, who ends it with blocks_close; the texts of
 * `inputs` must stay valid. ERR_INVALID: values, linked files, standard input twice, or a `block`
 * above block_max; otherwise as reader_open. `why` is a whole sentence. */
enum error blocks_open(struct blocks **blocks, const struct inputs *inputs,
                       const struct blocks_options *options, struct why *why);
void blocks_close(struct blocks **blocks); /* sets *blocks to NULL; takes NULL */
/* READER_VALUE: `block` is the current one, never empty, valid until blocks_skip. If its size is above
 * `block_max` its bytes are not there. The other states as reader_peek's. */
enum reader_state blocks_peek(struct blocks *blocks, struct bytes *block, struct why *why);
void blocks_skip(struct blocks *blocks);    /* steps behind the block that was peeked */
int blocks_fd(const struct blocks *blocks); /* what READER_WAIT waits for */

#endif
