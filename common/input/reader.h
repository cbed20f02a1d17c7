/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_READER_H
#define ZFARM_READER_H

#include "common/base/bytes.h"
#include "common/base/error.h"

/* Reads the values (lines, or what a NUL byte ends) of one file, pipe, socket or terminal, as far
 * as that is possible without blocking.
 *
 * A last value without its separator is a value, empty ones are, and all other bytes pass. A value
 * above `value_max` is read over and never held. The descriptor is not made non-blocking, because
 * others may share it: it is polled before each read. So if another process reads the same pipe, a
 * read can find it empty and block. Embed it by value. */
enum reader_state {
    READER_VALUE,
    READER_WAIT, /* nothing can be read now: poll `fd` */
    READER_END,
    READER_FAILED, /* it will fail again */
};

struct reader {
    int fd; /* -1: closed */
    const char *path;
    uint8_t separator;
    size_t value_max;
    uint8_t *data; /* READER_SIZE bytes, or up to four times value_max */
    size_t capacity;
    size_t at;        /* in `data`: where the current value starts */
    size_t end;       /* in `data`: where the bytes read end */
    size_t scanned;   /* in `data`: no separator from `at` up to here */
    size_t read_over; /* bytes of the current value that were not kept */
    bool ended;
    bool over; /* the current value is too long and is being read over */
};

/* Fuzzers set less, so that few octets come to the buffer's end. */
#ifndef READER_SIZE
#define READER_SIZE ((size_t)256 * 1024)
#endif

/* `path` must stay valid; "-" is standard input. A FIFO without a writer does not block: it is
 * waited for by READER_WAIT. ERR_NOT_FOUND, ERR_ACCESS, ERR_INVALID (a directory), ERR_IO: `why`
 * names it. */
enum error reader_open(struct reader *reader, const char *path, uint8_t separator, size_t value_max,
                       struct why *why);
/* READER_VALUE: `value` is the current one, valid until reader_skip. If its size is above
 * `value_max` its bytes are not there. READER_FAILED: `why` says it. */
enum reader_state reader_peek(struct reader *reader, struct bytes *value, struct why *why);
/* Steps behind the value that was peeked; at the end it does nothing. */
void reader_skip(struct reader *reader);
/* Reads what there is, up to `most` bytes, past the values: READER_VALUE, and `*size` of them are at
 * `to`. Not to be mixed with reader_peek. */
enum reader_state reader_read(struct reader *reader, uint8_t *to, size_t most, size_t *size,
                              struct why *why);
void reader_close(struct reader *reader); /* standard input stays open */

#endif
