/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_COMBINE_H
#define ZFARM_COMBINE_H

#include "common/input/inputs.h"
#include "common/input/reader.h"

/* Combines several inputs as GNU parallel does: every value of one with every value of the others,
 * the last input varying fastest; a linked input goes in step with the one before it, and such a
 * group is as long as its shortest input. An empty input counts as one empty value, unless all of
 * them are empty.
 *
 * The first group is streamed. The others are needed again and again, so they are read whole first
 * and held; together they may take COMBINE_HELD_MAX bytes. */
enum { COMBINE_HELD_MAX = 64 * 1024 * 1024 };

enum combine_state {
    COMBINE_ROW,
    COMBINE_WAIT, /* nothing can be read now: poll combine_fd */
    COMBINE_END,
    COMBINE_FAILED, /* it will fail again */
};

struct combine;

/* `inputs` has one at least; the texts in it must stay valid, the struct itself not. Returns NULL
 * when one cannot be read, with `error` and `why` as reader_open has them; ERR_INVALID also when
 * standard input is named twice. */
struct combine *combine_open(const struct inputs *inputs, uint8_t separator, size_t value_max,
                             enum error *error, struct why *why);
void combine_close(struct combine **combine); /* sets *combine to NULL; takes NULL */
/* COMBINE_ROW: `row` has one value of each input, valid until the next call; a value above
 * value_max is there with its size only. COMBINE_FAILED: `why` says it. Never blocks. */
enum combine_state combine_next(struct combine *combine, const struct bytes **row, struct why *why);
size_t combine_width(const struct combine *combine); /* values in a row */
int combine_fd(const struct combine *combine);       /* what was waited for last; -1 at first */
/* How many rows there will be, or 0 if only reading tells. */
uint64_t combine_total(const struct combine *combine);
/* The reader of the only input, when a row is just the next value of a file: then it may be read
 * instead of calling combine_next. NULL otherwise. */
struct reader *combine_only_reader(struct combine *combine);

#endif
