/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_CERTIFICATE_H
#define ZFARM_CERTIFICATE_H

/* The text of a certificate, in czmq's form (zcert): lines `name = "value"` below headings. What the
 * values are worth is looked at in keys.c. */
enum { CERTIFICATE_VALUE_SIZE = 64 }; /* with its NUL */

struct certificate {
    char public[CERTIFICATE_VALUE_SIZE];
    char secret[CERTIFICATE_VALUE_SIZE]; /* "" if it has none */
    char role[CERTIFICATE_VALUE_SIZE];
};

/* Takes what is there of the three; of two lines with one name the later one counts, and one whose
 * value is too long is none. Other lines are passed over. */
void certificate_read(const char *text, struct certificate *found);

#endif
