/* SPDX-License-Identifier: MPL-2.0 */

/* filter <NUMBERS >RESULTS
 *
 * Twice each number, flushed line by line: what --coprocess asks of a program. */
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        printf("%llu\n", strtoull(line, NULL, 10) * 2);
        if (fflush(stdout))
            return 1;
    }
    return 0;
}
