/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_VERIFY_H
#define ZFARM_VERIFY_H

/* zfarm verify: counts what a store has against what it should have, and changes nothing. argv[0] is
 * "verify". Returns the exit status: 0 all is there; 1 something is missing, double or different, or
 * the job is not closed; 255 the store or the input cannot be read. */
int verify_main(int argc, char **argv);

#endif
