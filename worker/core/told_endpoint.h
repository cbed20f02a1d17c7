/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_TOLD_ENDPOINT_H
#define ZFARM_TOLD_ENDPOINT_H

#include "common/base/bytes.h"

enum { ENDPOINT_MAX = 256 }; /* bytes of one, with its NUL */

/* Where to connect: `instead` if the operator gave one (else NULL), else what the ventilator told, of which a bare port
 * is one on the host by which the ventilator itself is reached, `connect`. */
void told_endpoint(const char *connect, const char *instead, struct bytes told,
                   char to[static ENDPOINT_MAX]);

#endif
