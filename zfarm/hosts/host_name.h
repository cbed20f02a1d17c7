/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_HOST_NAME_H
#define ZFARM_HOST_NAME_H

#include "common/base/error.h"

/* [USER@]HOST[:SLOTS], or SLOTS/[USER@]HOST as in GNU parallel; HOST as ssh takes it, an IPv6 address in brackets.
 * Nothing before the colon (":4", ":") is no ssh host but this machine itself. */
struct host_name {
    char *target; /* what ssh is given; NULL: this machine */
    char *slots;  /* what --jobs is given; NULL: not said */
};

/* `text` is one host. ERR_INVALID with words. */
enum error host_name_parse(struct host_name *name, const char *text, struct why *why);
void host_name_free(struct host_name *name);

#endif
