/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_ERROR_H
#define ZFARM_ERROR_H

/* Every error that a function of zfarm returns: its name and what it means.
 *
 * A function that can fail returns one of these (ERR_NONE is 0). Where the reason matters to a
 * person it also fills a `struct why` with one sentence that names what was tried, on what, why it
 * failed and what to do. Only the shells print. */
#define ERROR_LIST(X)                                                                              \
    X(ERR_NONE, "no error")                                                                        \
    X(ERR_TRUNCATED, "the message ends in the middle of a field")                                  \
    X(ERR_MALFORMED, "a field of the message has a value that the protocol does not know")         \
    X(ERR_TRAILING, "the message has bytes behind its last field")                                 \
    X(ERR_VERSION, "the peer speaks another version of the protocol")                              \
    X(ERR_KIND, "the message is of a kind that this program does not take")                        \
    X(ERR_TOO_LARGE, "it is larger than its limit")                                                \
    X(ERR_LIMIT, "there are as many of them as there may be")                                      \
    X(ERR_INVALID, "the value is not one that this takes")                                         \
    X(ERR_NOT_FOUND, "there is no such thing")                                                     \
    X(ERR_ACCESS, "the permission for it is missing")                                              \
    X(ERR_IN_USE, "somebody else uses it already")                                                 \
    X(ERR_IO, "the operating system reported an error")                                            \
    X(ERR_DISK_FULL, "there is no room left to write it")                                          \
    X(ERR_CLOSED, "the other end is closed")                                                       \
    X(ERR_UNSUPPORTED, "this build or this system cannot do it")

enum error {
#define X(code, sentence) code,
    ERROR_LIST(X)
#undef X
        ERR_COUNT
};

const char *error_name(enum error error);     /* "ERR_TRUNCATED" */
const char *error_sentence(enum error error); /* "the message ends in ..." */

/* Why something failed, in words for a person: one sentence, without a newline. */
struct why {
    char text[1024];
};

/* Fills `why` (which may be NULL) and returns `error`, so that a caller can write
 * `return fail(why, ERR_IO, "cannot open %s: %s", ...)`. */
enum error fail(struct why *why, enum error error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
