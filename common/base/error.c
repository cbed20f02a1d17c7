/* SPDX-License-Identifier: MPL-2.0 */
#include "common/base/error.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    const char *name;
    const char *sentence;
} errors[ERR_COUNT] = {
#define X(code, sentence) {#code, sentence},
    ERROR_LIST(X)
#undef X
};

const char *error_name(enum error error)
{
    return (unsigned)error < ERR_COUNT ? errors[error].name : "ERR_UNKNOWN";
}

const char *error_sentence(enum error error)
{
    return (unsigned)error < ERR_COUNT ? errors[error].sentence : "an error without a name";
}

enum error fail(struct why *why, enum error error, const char *format, ...)
{
    if (why) {
        va_list args;
        va_start(args, format);
        vsnprintf(why->text, sizeof why->text, format, args);
        va_end(args);
    }
    return error;
}
