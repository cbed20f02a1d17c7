/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_ZFARM_KEYS_H
#define ZFARM_ZFARM_KEYS_H

/* `zfarm keys`: makes the certificates of a farm (common/keys.h says where they are). Returns the exit
 * status. */
int keys_main(int argc, char **argv);

#endif
