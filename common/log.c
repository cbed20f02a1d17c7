/* SPDX-License-Identifier: MPL-2.0 */
#include "common/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/shown.h"

static const char *program_name = "zfarm";
static const char *prefix_sequence = "";
static bool debugging;

void log_init(const char *program)
{
    program_name = program;
    debugging = getenv("ZFARM_DEBUG") != NULL;
    if (isatty(STDERR_FILENO))
        prefix_sequence = "\r\033[K"; /* another process's progress line may be there */
}

void log_set_prefix_sequence(const char *sequence)
{
    prefix_sequence = sequence ? sequence : "";
}

static void put_line(const char *format, va_list args)
{
    char line[2048];
    int head = snprintf(line, sizeof line, "%s%s: ", prefix_sequence, program_name);
    int body = vsnprintf(line + head, sizeof line - (size_t)head - 1, format, args);
    size_t size = (size_t)head + (body > 0 ? (size_t)body : 0);
    if (size > sizeof line - 2)
        size = sizeof line - 2;
    size = (size_t)head + shown_in_place(line + head, size - (size_t)head);
    line[size++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, size);
    (void)ignored;
}

void log_line(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    put_line(format, args);
    va_end(args);
}

void log_debug(const char *format, ...)
{
    if (!debugging)
        return;
    va_list args;
    va_start(args, format);
    put_line(format, args);
    va_end(args);
}
