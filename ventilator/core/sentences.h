/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SENTENCES_H
#define ZFARM_SENTENCES_H

#include "common/wire/wire.h"

/* Sentences with the tasks that each is about, as they are collected for an answer to WHY (explain.c). All zeros
 * is an empty list. A list owns its sentences and their tasks. */
struct sentences {
    struct because_item *items;
    size_t count;
    size_t capacity;
};

/* Appends one; what does not fit into `struct why` is cut off. `tasks` is copied, as many of its ranges as a
 * message may have, and the others are counted; NULL: the sentence is about no task. */
void sentences_add(struct sentences *list, const struct seqset *tasks, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Appends all of `from`, which is empty then, and is still to be freed. */
void sentences_move(struct sentences *to, struct sentences *from);
void sentences_sort(
    struct sentences *list); /* by the first task of each; those about none come first */
/* Leaves at most `most`, which is at least 1. The last of them counts those that are gone. */
void sentences_cut(struct sentences *list, size_t most);
void sentences_free(struct sentences *list);

#endif
