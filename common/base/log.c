/* SPDX-License-Identifier: MPL-2.0 */
#include "common/base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/shown.h"

static const char *program_name = "zfarm";
static const char *prefix_sequence = "";
static bool debugging;

/* The last line, and how often it came again since: that is said when another line comes, or at the end. */
static char last_line[2048];
static size_t last_size;
static unsigned long repeated;

static void write_line(const char *line, size_t size)
{
    ssize_t ignored = write(STDERR_FILENO, line, size);
    (void)ignored;
}

static void tell_repeated(void)
{
    char line[128];
    if (!repeated)
        return;
    int size = snprintf(line, sizeof line, "%s%s: (the line before came %lu more time%s)\n",
                        prefix_sequence, program_name, repeated, repeated == 1 ? "" : "s");
    repeated = 0;
    write_line(line, (size_t)size);
}

void log_init(const char *program)
{
    program_name = program;
    atexit(tell_repeated);
    debugging = getenv("ZFARM_DEBUG") != NULL;
    if (isatty(STDERR_FILENO))
        prefix_sequence = "\r\033[K"; /* another process's progress line may be there */
}

void log_set_prefix_sequence(const char *sequence)
{
    prefix_sequence = sequence ? sequence : "";
}

static bool is_repeated(const char *line, size_t size)
{
    if (size != last_size || memcmp(line, last_line, size) != 0)
        return false;
    repeated++;
    return true;
}

static void log_put_line(const char *format, va_list args)
{
    char line[sizeof last_line];
    int head = snprintf(line, sizeof line, "%s%s: ", prefix_sequence, program_name);
    int body = vsnprintf(line + head, sizeof line - (size_t)head - 1, format, args);
    size_t size = (size_t)head + (body > 0 ? (size_t)body : 0);
    if (size > sizeof line - 2)
        size = sizeof line - 2;
    size = (size_t)head + shown_in_place(line + head, size - (size_t)head);
    line[size++] = '\n';
    if (is_repeated(line, size))
        return;
    tell_repeated();
    write_line(line, size);
    memcpy(last_line, line, size);
    last_size = size;
}

void log_line(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_put_line(format, args);
    va_end(args);
}

void log_debug(const char *format, ...)
{
    if (!debugging)
        return;
    va_list args;
    va_start(args, format);
    log_put_line(format, args);
    va_end(args);
}
