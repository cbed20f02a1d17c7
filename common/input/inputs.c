/* SPDX-License-Identifier: MPL-2.0 */
#include "common/input/inputs.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/xalloc.h"

/* The length of ::: or :::: without its +; 0 for any other word. */
static size_t mark_size(const char *word)
{
    size_t size = strspn(word, ":");
    bool mark = (size == 3 || size == 4) && (!word[size] || strcmp(word + size, "+") == 0);
    return mark ? size : 0;
}

size_t inputs_command_count(char *const *words)
{
    size_t count = 0;
    while (words[count] && !mark_size(words[count]))
        count++;
    return count;
}

static void inputs_add(struct inputs *inputs, struct input input)
{
    inputs->list = xrealloc(inputs->list, (inputs->count + 1) * sizeof *inputs->list);
    inputs->list[inputs->count++] = input;
}

void inputs_add_file(struct inputs *inputs, const char *path)
{
    inputs_add(inputs, (struct input){.path = path});
}

void inputs_add_words(struct inputs *inputs, char *const *words)
{
    while (*words) {
        size_t mark = mark_size(*words);
        bool linked = (*words++)[mark] == '+';
        size_t count = inputs_command_count(words);
        if (mark == 3 || count == 0)
            inputs_add(inputs, (struct input){.values = words, .count = count, .linked = linked});
        for (size_t i = 0; mark == 4 && i < count; i++)
            inputs_add(inputs, (struct input){.path = words[i], .linked = linked});
        words += count;
    }
}

void inputs_free(struct inputs *inputs)
{
    free(inputs->list);
    *inputs = (struct inputs){0};
}
