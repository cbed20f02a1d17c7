/* SPDX-License-Identifier: MPL-2.0 */

/* doubled COUNT <RESULTS
 *
 * Are the results twice the numbers from 1 to COUNT, in any order, each once and on a line of its
 * own? Ends with 0 if so, and else with 1 and words. It needs a bit a number, where sort would need
 * them all. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static int complain(const char *what, uint64_t number)
{
    fprintf(stderr, "doubled: %s: %llu\n", what, (unsigned long long)number);
    return 1;
}

/* Reads a line; false at the end of the input, and when it is no number: then *number is 0. */
static bool read_number(uint64_t *number)
{
    int c = getchar_unlocked();
    *number = 0;
    if (c == EOF)
        return false;
    for (int digits = 0; digits < 19 && c >= '0' && c <= '9'; digits++) {
        *number = *number * 10 + (uint64_t)(c - '0');
        c = getchar_unlocked();
    }
    if (c != '\n')
        *number = 0;
    return c == '\n';
}

int main(int argc, char **argv)
{
    uint64_t count = argc == 2 ? strtoull(argv[1], NULL, 10) : 0, lines = 0, number;
    if (!count) {
        fprintf(stderr, "usage: doubled COUNT <RESULTS\n");
        return 2;
    }
    uint8_t *seen = calloc(count / 8 + 1, 1);
    if (!seen)
        return complain("no memory for as many", count);
    while (read_number(&number)) {
        uint64_t task = number / 2;
        if (number % 2 || !task || task > count)
            return complain("no task has this result", number);
        if (seen[task / 8] & 1 << task % 8)
            return complain("is there twice", number);
        seen[task / 8] = (uint8_t)(seen[task / 8] | 1 << task % 8);
        lines++;
    }
    free(seen);
    if (!feof(stdin) || lines != count)
        return complain("results that are right before the first wrong line or the end", lines);
    return 0;
}
