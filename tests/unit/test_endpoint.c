/* SPDX-License-Identifier: MPL-2.0 */
#include "common/base/endpoint.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

TestSuite(endpoint, .timeout = 60);

static struct endpoint right(const char *text, enum endpoint_use use)
{
    struct endpoint endpoint;
    struct why why;
    cr_assert_eq(endpoint_parse(text, use, &endpoint, &why), ERR_NONE, "%s", why.text);
    return endpoint;
}

Test(endpoint, what_was_read_is_written_the_same)
{
    static const char *const texts[] = {"tcp://127.0.0.1:5556",
                                        "tcp://*:5556",
                                        "tcp://node-7.example.org:65535",
                                        "tcp://[::1]:1",
                                        "tcp://[fe80::1%eth0]:80",
                                        "tcp://eth0:5556",
                                        "tcp://my_host:5556",
                                        "ipc:///run/farm/x",
                                        "ipc://relative",
                                        "ipc://@abstract",
                                        "tcp://127.0.0.1:*",
                                        "tcp://0x.example:22"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct endpoint endpoint = right(texts[i], ENDPOINT_BIND);
        char text[ENDPOINT_TEXT_SIZE];
        endpoint_format(&endpoint, text);
        cr_assert_str_eq(text, texts[i]);
    }
    cr_assert_eq(right("tcp://[::1]:5556", ENDPOINT_CONNECT).port, 5556);
    cr_assert_str_eq(right("tcp://[::1]:5556", ENDPOINT_CONNECT).host, "::1");
    cr_assert_eq(right("tcp://[::1]:0", ENDPOINT_BIND).port, 0);
}

Test(endpoint, nonsense_is_refused_and_a_right_one_is_shown)
{
    static const char *const bad[] = {"",
                                      "localhost:5556",
                                      "udp://a:1",
                                      "TCP://a:1",
                                      "tcp://",
                                      "tcp://:5556",
                                      "tcp://a",
                                      "tcp://a:",
                                      "tcp://a:0",
                                      "tcp://a:*",
                                      "tcp://*:5556",
                                      "tcp://a:65536",
                                      "tcp://a:99999999999",
                                      "tcp://a:12x",
                                      "tcp://a:-1",
                                      "tcp://a: 1",
                                      "tcp://a b:1",
                                      "tcp://127.0.0.300:1",
                                      "tcp://1.2.3:1",
                                      "tcp://::1:5556",
                                      "tcp://[::1]",
                                      "tcp://[::1]5556",
                                      "tcp://[nonsense]:5556",
                                      "tcp://[::1:5556",
                                      "tcp://[]:5556",
                                      "tcp://[:5556",
                                      "tcp://]:5556",
                                      "tcp://-a:5556",
                                      "tcp://a/b:5556",
                                      "ipc://"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct endpoint endpoint = {.port = 7};
        struct why why = {""};
        cr_assert_eq(endpoint_parse(bad[i], ENDPOINT_CONNECT, &endpoint, &why), ERR_INVALID, "%s",
                     bad[i]);
        cr_assert(strstr(why.text, "tcp://127.0.0.1:5556") || strstr(why.text, "ipc:///tmp/farm"),
                  "%s", why.text);
        cr_assert_eq(endpoint.port, 7, "is left alone");
    }
}

Test(endpoint, a_socket_path_has_at_most_107_bytes)
{
    char text[300] = "ipc://";
    memset(text + 6, 'p', 107);
    struct endpoint endpoint = right(text, ENDPOINT_CONNECT);
    cr_assert_eq(strlen(endpoint.path), 107);
    text[6 + 107] = 'p';
    struct why why;
    cr_assert_eq(endpoint_parse(text, ENDPOINT_CONNECT, &endpoint, &why), ERR_INVALID);
    cr_assert(strstr(why.text, "108 bytes") && strstr(why.text, "107"), "%s", why.text);
}

Test(endpoint, a_host_has_at_most_255_characters)
{
    char text[400] = "tcp://";
    memset(text + 6, 'h', 255);
    strcpy(text + 6 + 255, ":1");
    cr_assert_eq(strlen(right(text, ENDPOINT_CONNECT).host), 255);
    strcpy(text + 6 + 255, "h:1");
    struct endpoint endpoint = {0};
    cr_assert_eq(endpoint_parse(text, ENDPOINT_CONNECT, &endpoint, NULL), ERR_INVALID);
}

Test(endpoint, only_what_stays_on_this_machine_is_loopback)
{
    static const char *const near[] = {"tcp://127.0.0.1:1", "tcp://127.8.9.1:1",
                                       "tcp://[::1]:1",     "tcp://localhost:1",
                                       "ipc:///x",          "tcp://[::ffff:127.0.0.1]:1"};
    static const char *const far[] = {
        "tcp://*:1",         "tcp://0.0.0.0:1",     "tcp://[::]:1", "tcp://10.0.0.1:1",
        "tcp://128.0.0.1:1", "tcp://127.example:1", "tcp://lo:1",   "tcp://[2001:db8::1]:1"};
    for (size_t i = 0; i < sizeof near / sizeof *near; i++) {
        struct endpoint endpoint = right(near[i], ENDPOINT_BIND);
        cr_assert(endpoint_is_loopback(&endpoint), "%s", near[i]);
        cr_assert_not(endpoint_is_wildcard(&endpoint), "%s", near[i]);
    }
    for (size_t i = 0; i < sizeof far / sizeof *far; i++) {
        struct endpoint endpoint = right(far[i], ENDPOINT_BIND);
        cr_assert_not(endpoint_is_loopback(&endpoint), "%s", far[i]);
        cr_assert_eq(endpoint_is_wildcard(&endpoint), i < 3, "%s", far[i]);
    }
}

Test(endpoint, the_host_can_be_replaced)
{
    struct endpoint endpoint = right("tcp://*:5558", ENDPOINT_BIND);
    char text[ENDPOINT_TEXT_SIZE];
    cr_assert_eq(endpoint_set_host(&endpoint, "node7", NULL), ERR_NONE);
    endpoint_format(&endpoint, text);
    cr_assert_str_eq(text, "tcp://node7:5558");
    cr_assert_eq(endpoint_set_host(&endpoint, "2001:db8::7", NULL), ERR_NONE);
    endpoint_format(&endpoint, text);
    cr_assert_str_eq(text, "tcp://[2001:db8::7]:5558");
    cr_assert_eq(endpoint_set_host(&endpoint, "[::1]", NULL), ERR_NONE);
    cr_assert_str_eq(endpoint.host, "::1");
    struct why why;
    cr_assert_eq(endpoint_set_host(&endpoint, "a:b", &why), ERR_INVALID);
    cr_assert_eq(endpoint_set_host(&endpoint, "*", &why), ERR_INVALID);
    cr_assert_eq(endpoint_set_host(&endpoint, "", &why), ERR_INVALID);
    cr_assert(strstr(why.text, "node7.example.org"), "%s", why.text);
    cr_assert_str_eq(endpoint.host, "::1", "is left alone");
    endpoint = right("ipc:///x", ENDPOINT_BIND);
    cr_assert_eq(endpoint_set_host(&endpoint, "node7", &why), ERR_INVALID);
}

Test(endpoint, the_next_port_is_one_more_and_there_is_none_after_the_last)
{
    struct endpoint endpoint = right("tcp://a:5556", ENDPOINT_BIND);
    struct why why = {""};
    cr_assert_eq(endpoint_next_port(&endpoint, &endpoint, &why), ERR_NONE);
    cr_assert_eq(endpoint.port, 5557);
    endpoint = right("tcp://a:*", ENDPOINT_BIND);
    cr_assert_eq(endpoint_next_port(&endpoint, &endpoint, &why), ERR_NONE);
    cr_assert_eq(endpoint.port, 0, "any free port");
    endpoint = right("tcp://a:65535", ENDPOINT_BIND);
    cr_assert_eq(endpoint_next_port(&endpoint, &endpoint, &why), ERR_INVALID);
    cr_assert(strstr(why.text, "tcp://a:65535"));
    endpoint = right("ipc:///x", ENDPOINT_BIND);
    cr_assert_eq(endpoint_next_port(&endpoint, &endpoint, &why), ERR_INVALID);
}
