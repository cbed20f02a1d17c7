/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_READY_H
#define ZFARM_READY_H

/* Readiness as an event (s6's notification descriptor): a program that was given --ready-fd N
 * writes one line there when it can be connected to, and closes it. Whoever started it reads the
 * line instead of trying again and again. */

/* Writes `line` and a newline to `fd` and closes it; nothing happens when fd is 0. */
void ready_tell(int fd, const char *line);

#endif
