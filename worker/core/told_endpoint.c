/* SPDX-License-Identifier: MPL-2.0 */
#include "worker/core/told_endpoint.h"

#include <stdio.h>
#include <string.h>

#include "common/base/endpoint.h"

void told_endpoint(const char *connect, const char *instead, struct bytes told,
                   char to[static ENDPOINT_MAX])
{
    struct endpoint endpoint;
    unsigned port = 0;
    if (instead)
        snprintf(to, ENDPOINT_MAX, "%s", instead);
    else
        snprintf(to, ENDPOINT_MAX, "%.*s", (int)told.size, (const char *)told.data);
    if (strspn(to, "0123456789") < strlen(to) || sscanf(to, "%5u", &port) != 1)
        return;
    if (endpoint_parse(connect, ENDPOINT_CONNECT, &endpoint, NULL) || endpoint.ipc)
        endpoint = (struct endpoint){.host = "127.0.0.1"};
    endpoint.port = (uint16_t)port;
    char formatted[ENDPOINT_TEXT_SIZE];
    endpoint_format(&endpoint, formatted);
    snprintf(to, ENDPOINT_MAX, "%.*s", (int)ENDPOINT_MAX - 1, formatted);
}
