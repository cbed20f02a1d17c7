/* SPDX-License-Identifier: MPL-2.0 */
#include "common/net/certificate.h"

#include <string.h>

/* Takes `name = "value"` out of a line; other lines leave `value` as it is. */
static void take_value(const char *line, const char *name,
                       char value[static CERTIFICATE_VALUE_SIZE])
{
    size_t size = strlen(name);
    line += strspn(line, " \t");
    if (strncmp(line, name, size) != 0)
        return;
    line += size + strspn(line + size, " \t");
    if (*line++ != '=')
        return;
    line += strspn(line, " \t");
    if (*line++ != '"')
        return;
    size_t length = strcspn(line, "\"\n");
    if (line[length] == '"' && length < CERTIFICATE_VALUE_SIZE) {
        memcpy(value, line, length);
        value[length] = '\0';
    }
}

void certificate_read(const char *text, struct certificate *found)
{
    *found = (struct certificate){{0}, {0}, {0}};
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        take_value(line, "public-key", found->public);
        take_value(line, "secret-key", found->secret);
        take_value(line, "role", found->role);
    }
}
