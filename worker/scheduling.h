/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SCHEDULING_H
#define ZFARM_SCHEDULING_H

/* Asks the kernel to run this thread soon after it is woken, for a short while each time: a worker
 * needs little processor time, but while it waits for some behind its own tasks, a slot idles.
 * Costs no privilege and takes nothing away from others. Threads and processes that this one makes
 * are scheduled as usual. Kernels before Linux 6.12 ignore it (EEVDF with request sizes: Stoica and
 * Abdel-Wahab, 1995). */
void scheduling_run_soon(void);

#endif
