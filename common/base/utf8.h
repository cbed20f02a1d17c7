/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_UTF8_H
#define ZFARM_UTF8_H

#include "common/base/bytes.h"

/* Whether the bytes are well-formed UTF-8, and so can go as text where only text goes. */
bool utf8_is_valid(struct bytes bytes);
/* Size of the well-formed sequence at `at`, where at least 1 byte is left; 0: there is none. */
size_t utf8_sequence(const uint8_t *at, size_t left);

#endif
