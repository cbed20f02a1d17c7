/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SIM_AGENDA_H
#define ZFARM_SIM_AGENDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is to happen, and when: a heap by time; what is due at the same time happens in the order in
 * which it was put down. Nothing is ever taken back: what is out of date must notice that itself.
 * Zero-initialised is empty; embed it by value. */
typedef void agenda_function(void *context, uint64_t argument);

struct agenda_item {
    uint64_t at_ns;
    uint64_t order;
    agenda_function *run;
    void *context;
    uint64_t argument;
};

struct agenda {
    struct agenda_item *items;
    size_t count;
    size_t capacity;
    uint64_t last_order;
};

void agenda_free(struct agenda *agenda);
void agenda_add(struct agenda *agenda, uint64_t at_ns, agenda_function *run, void *context,
                uint64_t argument);
bool agenda_take(struct agenda *agenda, struct agenda_item *item);

#endif
