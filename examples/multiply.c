/* SPDX-License-Identifier: MPL-2.0 */

/* A plugin: each task is a number, and its result is that number times the worker's own, which is
 * the plugin's one argument (1 without it). The classic of a shared-nothing farm: two workers, one
 * with 2 and one with 3, get the tasks 1 to 5, and the list of results shows who took which.
 *
 *     seq 5 | zfarm run --plugin ./multiply.so 2
 */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <zfarm/plugin.h>

ZFARM_PLUGIN;

/* All of `text` as a number. By hand: strtoll needs a NUL behind it, and a task has none. */
static bool parse(const char *text, size_t size, long long *number)
{
    size_t at = 0;
    bool negative = size > 0 && text[0] == '-';
    if (negative)
        at++;
    if (at == size)
        return false;
    for (*number = 0; at < size; at++) {
        int digit = text[at] - '0';
        if (digit < 0 || digit > 9 || __builtin_mul_overflow(*number, 10, number) ||
            __builtin_sub_overflow(*number, digit, number))
            return false; /* counted downwards: there is one more number below 0 than above */
    }
    return negative || !__builtin_sub_overflow(0, *number, number);
}

/* The decimal digits and a newline; returns where they begin. */
static char *format(char *end, long long number)
{
    unsigned long long left =
        number < 0 ? 0 - (unsigned long long)number : (unsigned long long)number;
    *--end = '\n';
    do {
        *--end = (char)('0' + left % 10);
        left /= 10;
    } while (left);
    if (number < 0)
        *--end = '-';
    return end;
}

int zfarm_init(int argc, char **argv, int slot, void **state)
{
    long long *factor = malloc(sizeof *factor);
    if (!factor)
        return 1;
    (void)slot;
    *factor = 1;
    char *end = argc ? argv[0] : NULL;
    errno = 0;
    if (argc)
        *factor = strtoll(argv[0], &end, 10);
    if (argc > 1 || (argc && (end == argv[0] || *end || errno))) {
        fprintf(stderr, "multiply: its argument is one number, the worker's\n");
        free(factor);
        return 1;
    }
    *state = factor;
    return 0;
}

int zfarm_handle(void *state, const struct zfarm_task *task, struct zfarm_reply *out,
                 struct zfarm_reply *err)
{
    const long long *factor = state;
    long long number, product;
    if (!parse(task->data, task->size, &number)) {
        zfarm_appendf(err, "multiply: task %llu is no number: %.*s\n",
                      (unsigned long long)task->seq, (int)(task->size < 80 ? task->size : 80),
                      task->data);
        return 1;
    }
    if (__builtin_mul_overflow(number, *factor, &product)) {
        zfarm_appendf(err, "multiply: %lld times %lld is too large\n", number, *factor);
        return 1;
    }
    char text[24];
    const char *begin = format(text + sizeof text, product);
    zfarm_append(out, begin, (size_t)(text + sizeof text - begin));
    return 0;
}

void zfarm_destroy(void *state)
{
    free(state);
}
