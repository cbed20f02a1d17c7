/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_WHY_H
#define ZFARM_WHY_H

/* zfarm why: asks ventilators what each unfinished task is waiting for, and prints it. argv[0] is
 * "why". Returns 0 when every one that was asked has answered, 1 when there was none to ask, else
 * 255. */
int why_main(int argc, char **argv);

#endif
