/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_KEYS_H
#define ZFARM_KEYS_H

#include "common/base/error.h"
#include "common/base/key.h"

/* Certificates on disk, as `zfarm keys` makes them (docs/security.md): a directory for each member
 * of a farm, which is what --keys names.
 *
 *     secret.cert       the member's own keys; nobody else may read it
 *     ventilator.cert   the ventilator's public key; not in the ventilator's own directory
 *     admitted/         in the ventilator's: a public key a file, NAME.worker or NAME.sink
 *
 * The files have czmq's form (zcert), but are read here: zcert_load takes a key of any length for
 * one of 32 octets. */
#define KEYS_SECRET "secret.cert"
#define KEYS_VENTILATOR "ventilator.cert"
#define KEYS_ADMITTED "admitted"

struct keys {
    struct key_pair own;
    struct key ventilator; /* none in its own directory */
};

/* Loads what a member of `role` ("ventilator", "worker", "sink"; NULL: any of the latter two) has in
 * `directory`. Fails with ERR_NOT_FOUND, ERR_ACCESS (others can read the secret or change the
 * directory, or it may not be read), ERR_INVALID (it is no certificate, or that of another role) or
 * ERR_UNSUPPORTED (a libzmq without CURVE); `why` names the file and what to do. May block on the
 * disk. */
enum error keys_load(struct keys *keys, const char *directory, const char *role, struct why *why);

/* Reads the public key of a certificate. ERR_NOT_FOUND, ERR_ACCESS (others may change it), ERR_INVALID. */
enum error keys_read_public(const char *path, struct key *public, struct why *why);
/* Whether nobody but its owner can change what is in the directory: else ERR_ACCESS. ERR_NOT_FOUND. */
enum error keys_check_directory(const char *path, struct why *why);

#endif
