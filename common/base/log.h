/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_LOG_H
#define ZFARM_LOG_H

/* Lines to stderr, whole, one write each: `zfarm-worker: what happened key=value`. No byte of
 * what is filled in gets to the terminal as a control (shown.h). Only shells and main.c call this; cores and common/
 * return errors. */

/* Names the program in front of each line. Call once, first. `program` must stay valid. */
void log_init(const char *program);
/* What must go to stderr before each line, so that a progress line is cleared: NULL or "" for none.
 */
void log_set_prefix_sequence(const char *sequence);
/* A line that is the same as the one before is counted, and the count is said when another one comes or the
 * program ends. */
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A line only with ZFARM_DEBUG set in the environment: what a developer wants to see. */
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
