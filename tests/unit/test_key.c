/* SPDX-License-Identifier: MPL-2.0 */
#include "common/base/key.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/refusals.h"

TestSuite(key, .timeout = 30);
TestSuite(refusals, .timeout = 30);

static struct key key_of(uint64_t number)
{
    struct key key = {{1}};
    memcpy(key.octets + 1, &number, sizeof number);
    return key;
}

Test(key, a_fingerprint_is_the_first_half_in_hexadecimal)
{
    struct key key = {{0x00, 0x9c, 0xff, [15] = 0x0a, [16] = 0x77}};
    char text[KEY_FINGERPRINT_SIZE];
    key_fingerprint(&key, text);
    cr_assert_str_eq(text, "009cff0000000000000000000000000a");
}

Test(key, each_admitted_key_has_its_roles_in_whatever_order_they_came)
{
    struct admitted a = {0};
    for (uint64_t i = 0; i < 1000; i++) {
        struct key key = key_of(i * 7919 % 1000);
        cr_assert(admitted_add(&a, &key, i % 2 ? KEY_WORKER : KEY_SINK));
    }
    cr_assert_eq(a.count, 1000);
    for (uint64_t i = 0; i < 1000; i++) {
        struct key key = key_of(i * 7919 % 1000);
        cr_assert_eq(admitted_roles(&a, &key), i % 2 ? KEY_WORKER : KEY_SINK);
    }
    struct key other = key_of(1000);
    cr_assert_eq(admitted_roles(&a, &other), 0);
    admitted_free(&a);
    cr_assert_eq(admitted_roles(&a, &other), 0);
}

Test(key, a_key_may_have_both_roles)
{
    struct admitted a = {0};
    struct key key = key_of(5);
    admitted_add(&a, &key, KEY_WORKER);
    admitted_add(&a, &key, KEY_SINK);
    cr_assert_eq(a.count, 1);
    cr_assert_eq(admitted_roles(&a, &key), KEY_WORKER | KEY_SINK);
    admitted_free(&a);
}

Test(key, no_key_is_never_admitted)
{
    struct admitted a = {0};
    struct key none = {{0}};
    cr_assert_not(admitted_add(&a, &none, KEY_WORKER));
    cr_assert_eq(admitted_roles(&a, &none), 0);
    admitted_free(&a);
}

Test(key, more_keys_than_fit_a_message_are_not_taken)
{
    struct admitted a = {0};
    for (uint64_t i = 0; i < ADMITTED_MAX; i++) {
        struct key key = key_of(__builtin_bswap64(i));
        cr_assert(admitted_add(&a, &key, KEY_WORKER));
    }
    struct key more = key_of(__builtin_bswap64(ADMITTED_MAX));
    cr_assert_not(admitted_add(&a, &more, KEY_WORKER));
    struct key known = key_of(0);
    cr_assert(admitted_add(&a, &known, KEY_SINK));
    admitted_free(&a);
}

static bool says(struct refusals *r, uint64_t number, uint64_t now_ns, struct why *why)
{
    struct key key = key_of(number);
    return refusals_say(r, &key, "a lane", "192.0.2.7", now_ns, why);
}

Test(refusals, a_key_is_told_once_with_its_fingerprint_and_address)
{
    static struct refusals r;
    struct why why;
    cr_assert(says(&r, 0x0706, 1, &why));
    cr_assert_str_eq(why.text, "refused a lane, its key is not admitted for that "
                               "key=01060700000000000000000000000000 from=192.0.2.7");
    cr_assert_not(says(&r, 0x0706, 2, &why));
    cr_assert_not(says(&r, 0x0706, 3600 * NS_PER_S, &why));
}

Test(refusals, a_flood_of_keys_is_a_few_lines_a_minute_and_a_number)
{
    static struct refusals r;
    struct why why;
    unsigned lines = 0;
    for (uint64_t i = 0; i < 100000; i++)
        lines += says(&r, i, 1 + i, &why);
    cr_assert_eq(lines, REFUSALS_A_MINUTE);
    cr_assert(says(&r, 100000, 60 * NS_PER_S + 1, &why));
    cr_assert(strstr(why.text, "; 99990 more were left out"), "%s", why.text);
}
