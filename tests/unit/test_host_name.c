/* SPDX-License-Identifier: MPL-2.0 */
#include "zfarm/hosts/host_name.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(host_name, .timeout = 10);

static void expect(const char *text, const char *target, const char *slots)
{
    struct host_name name;
    struct why why;
    cr_assert_eq(host_name_parse(&name, text, &why), ERR_NONE, "%s: %s", text, why.text);
    cr_expect_str_eq(name.target ? name.target : "none", target ? target : "none", "%s", text);
    cr_expect_str_eq(name.slots ? name.slots : "none", slots ? slots : "none", "%s", text);
    host_name_free(&name);
    cr_expect_null(name.target);
}

Test(host_name, a_host_may_have_a_user_and_slots)
{
    expect("alpha", "alpha", NULL);
    expect("alpha:8", "alpha", "8");
    expect("alpha:", "alpha", NULL);
    expect("me@alpha.example:16", "me@alpha.example", "16");
}

Test(host_name, nothing_before_the_colon_is_this_machine)
{
    expect(":", NULL, NULL);
    expect(":3", NULL, "3");
}

Test(host_name, an_address_with_colons_stands_in_brackets_when_slots_follow)
{
    expect("fe80::1", "fe80::1", NULL);
    expect("[fe80::1]", "fe80::1", NULL);
    expect("[fe80::1]:4", "fe80::1", "4");
    expect("me@[fe80::1]:4", "me@fe80::1", "4");
}

Test(host_name, the_number_of_tasks_may_stand_before_a_slash_as_in_gnu_parallel)
{
    expect("4/alpha", "alpha", "4");
    expect("16/me@alpha", "me@alpha", "16");
    expect("4/:", NULL, "4");
    expect("2/fe80::1", "fe80::1", "2");
}

Test(host_name, what_ssh_could_take_for_an_option_or_is_no_number_is_refused)
{
    const char *const texts[] = {
        "",        "-oProxyCommand=x", "[-oProxyCommand=x]", "[-l x]:4", "[]",   "me@[]:4",
        "alpha:x", "alpha:0",          "alpha:-1",           "alpha:4x", "4/",   "/alpha",
        "x/alpha", "0/alpha",          "4/alpha:4",          "4/5/a",    "4/-v", "..",
        "@web/a"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct host_name name;
        struct why why;
        cr_expect_eq(host_name_parse(&name, texts[i], &why), ERR_INVALID, "%s", texts[i]);
        cr_expect_not_null(strstr(why.text, "no host"));
        host_name_free(&name);
    }
}
