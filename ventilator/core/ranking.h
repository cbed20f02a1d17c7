/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_RANKING_H
#define ZFARM_RANKING_H

#include "ventilator/core/session.h"

/* Sessions in the order of their load, of two alike who idles longer first: a binary heap
 * (Williams 1964) whose members know their places in it, so that with ten thousand of them the
 * one with the least is found at once, and any is moved in a few steps. `which` says which of
 * the places in struct session is its own. Zero-initialised but for that is empty; embed it by
 * value. */
struct ranking {
    enum ranking_kind which;
    struct session **items; /* the first has the least load */
    size_t count;
    size_t capacity;
};

void ranking_free(struct ranking *r);
/* Puts the session where its load wants it to be; to be called again when that has changed. */
void ranking_put(struct ranking *r, struct session *s);
void ranking_remove(struct ranking *r, struct session *s); /* nothing happens if it is not there */
struct session *ranking_first(const struct ranking *r);    /* NULL if empty */

#endif
