/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SINK_UTF8_H
#define ZFARM_SINK_UTF8_H

#include "common/bytes.h"

/* Whether the bytes are well-formed UTF-8, and so can go as text where only text goes. */
bool utf8_is_valid(struct bytes bytes);

#endif
