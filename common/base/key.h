/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_KEY_H
#define ZFARM_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The keys of CURVE as values: who a peer is, and what it may be. Nothing here computes with them.
 */
enum {
    KEY_SIZE = 32,
    KEY_FINGERPRINT_SIZE = 33, /* with its NUL */
};

struct key {
    uint8_t octets[KEY_SIZE]; /* all 0: there is none, as in a farm without keys */
};

struct key_pair {
    struct key public;
    struct key secret;
};

bool key_is_none(const struct key *key);
bool key_equal(const struct key *a, const struct key *b);
/* How users are told which key it is: the first half of the public key, in hexadecimal digits. */
void key_fingerprint(const struct key *public, char text[static KEY_FINGERPRINT_SIZE]);

enum key_role { KEY_WORKER = 1, KEY_SINK = 2 };

/* Which keys are admitted, and as what. Zero-initialised is empty: nobody is. Embed it by value. */
struct admitted_key {
    struct key key;
    unsigned roles; /* enum key_role, or-ed */
};

struct admitted {
    struct admitted_key *items; /* in order */
    size_t count;
    size_t capacity;
};

enum { ADMITTED_MAX = 16384 }; /* keys: they fit one message */

void admitted_free(struct admitted *a);
/* Adds the roles to those that the key has. Of more than ADMITTED_MAX keys it takes none: false. */
bool admitted_add(struct admitted *a, const struct key *key, unsigned roles);
/* What the key may be; 0: nothing, which is also the answer for no key. */
unsigned admitted_roles(const struct admitted *a, const struct key *key);

#endif
