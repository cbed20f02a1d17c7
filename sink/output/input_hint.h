/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_INPUT_HINT_H
#define ZFARM_INPUT_HINT_H

#include "common/wire/wire.h"

/* A hint for users whose tasks fail and whose input was made elsewhere: it has CR LF or a byte-order mark, which
 * the tasks get as it is. Zero-initialised has not been given. */
struct input_hint {
    bool given;
};

/* Fills `why` with the sentence, once: when a task has failed and the ventilator has told that the input looks so. */
bool input_hint_due(struct input_hint *hint, const struct status *status, uint64_t failed,
                    struct why *why);

#endif
