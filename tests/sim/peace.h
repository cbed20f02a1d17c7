/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_SIM_PEACE_H
#define ZFARM_SIM_PEACE_H

/* Runs in which nothing goes wrong, and what they say of how well the farm works. Both print a
 * line a run and return how many of these were not as they should be. */

/* Unequal machines: the makespan is within one task of the slowest machine of the ideal one. */
unsigned peace_uneven(void);
/* As many workers, and fewer by 10 and 100: all promises are kept; prints the time a task takes
 * the ventilator's core. */
unsigned peace_crowd(unsigned workers);

#endif
