/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_ZFARM_KEYS_H
#define ZFARM_ZFARM_KEYS_H

#include "common/base/error.h"

/* Makes the certificates of a farm with one worker's in the directory `farm`, which is made too if it is
 * not there. Fails with words. */
enum error keys_make(const char *farm, struct why *why);
void keys_remove(const char *farm); /* what keys_make has made, and the directory */

/* `zfarm keys`: makes the certificates of a farm (common/net/keys.h says where they are). Returns the exit
 * status. */
int keys_main(int argc, char **argv);

#endif
