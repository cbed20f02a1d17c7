/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_FAILED_H
#define ZFARM_FAILED_H

/* zfarm failed: the tasks of a store that failed. Returns the exit status: 0, or 255 with words if it cannot
 * tell. */
int failed_main(int argc, char **argv);

#endif
