/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_FD_H
#define ZFARM_FD_H

/* Closes the descriptor if there is one, and sets it to -1: none. */
void fd_close(int *fd);

#endif
