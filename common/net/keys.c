/* SPDX-License-Identifier: MPL-2.0 */
#include "common/net/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "common/net/certificate.h"
#include "common/base/xalloc.h"

enum {
    CERTIFICATE_MAX = 16 << 10, /* bytes; czmq's has 500 */
    KEY_TEXT_SIZE = 41,         /* Z85, with its NUL */
};

static enum error keys_cannot(const char *path, int error, struct why *why)
{
    if (error == ENOENT || error == ENOTDIR)
        return fail(why, ERR_NOT_FOUND,
                    "there is no %.300s: make a farm's keys with \"zfarm keys DIR\", and give "
                    "--keys the directory of this program in it, such as DIR/worker",
                    path);
    return fail(why, error == EACCES || error == EPERM ? ERR_ACCESS : ERR_IO,
                "cannot read %.300s: %s", path, strerror(error));
}

/* Whoever owns a file can do anything to it, whatever its mode. */
static enum error check_owner(const char *path, const struct stat *status, struct why *why)
{
    if (status->st_uid == geteuid() || status->st_uid == 0)
        return ERR_NONE;
    return fail(why, ERR_ACCESS,
                "%.300s belongs to another user (%u), who can change and read it: chown it to the "
                "user that runs this (%u)",
                path, status->st_uid, geteuid());
}

enum error keys_check_directory(const char *path, struct why *why)
{
    struct stat status;
    if (stat(path, &status))
        return keys_cannot(path, errno, why);
    if (!S_ISDIR(status.st_mode))
        return keys_cannot(path, ENOTDIR, why);
    if (status.st_mode & (S_IWGRP | S_IWOTH))
        return fail(why, ERR_ACCESS,
                    "others can change %.300s (its mode is %o), so the keys in it prove nothing: "
                    "chmod go-w it",
                    path, status.st_mode & 07777U);
    return check_owner(path, &status, why);
}

/* Reads the whole of a small file into `text`. Nobody but its owner may do to it what `forbidden`
 * says. */
static enum error keys_read_file(const char *path, mode_t forbidden,
                                 char text[static CERTIFICATE_MAX], struct why *why)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &status)) {
        enum error error = keys_cannot(path, errno, why);
        if (fd >= 0)
            close(fd);
        return error;
    }
    ssize_t size = -1;
    enum error error = check_owner(path, &status, why);
    if (!error && S_ISREG(status.st_mode) && !(status.st_mode & forbidden))
        size = read(fd, text, CERTIFICATE_MAX);
    close(fd);
    if (error)
        return error;
    if (status.st_mode & forbidden)
        return fail(why, ERR_ACCESS,
                    "others can %s %.300s (its mode is %o): chmod %s it, and make new keys if "
                    "somebody may have done so",
                    forbidden & S_IROTH ? "read" : "change", path, status.st_mode & 07777U,
                    forbidden & S_IROTH ? "600" : "go-w");
    if (size < 0 || size == CERTIFICATE_MAX)
        return fail(why, ERR_INVALID, "%.300s is no certificate: it is no small file", path);
    text[size] = '\0';
    return ERR_NONE;
}

static enum error read_certificate(const char *path, mode_t forbidden, struct certificate *found,
                                   struct why *why)
{
    char text[CERTIFICATE_MAX] = "";
    *found = (struct certificate){0};
    enum error error = keys_read_file(path, forbidden, text, why);
    if (!error)
        certificate_read(text, found);
    explicit_bzero(text, sizeof text);
    return error;
}

static bool decode(const char *text, struct key *key)
{
    return strlen(text) == KEY_TEXT_SIZE - 1 && zmq_z85_decode(key->octets, text);
}

enum error keys_read_public(const char *path, struct key *public, struct why *why)
{
    struct certificate found;
    enum error error = read_certificate(path, S_IWGRP | S_IWOTH, &found, why);
    explicit_bzero(found.secret, sizeof found.secret);
    if (!error && (!decode(found.public, public) || key_is_none(public)))
        error =
            fail(why, ERR_INVALID,
                 "%.300s is no certificate: it has no line public-key = \"40 characters\"", path);
    return error;
}

/* Both keys of one certificate, which must belong together. */
static enum error read_pair(const char *path, const char *role, struct key_pair *pair,
                            struct why *why)
{
    struct certificate found;
    char derived[KEY_TEXT_SIZE] = "";
    enum error error = read_certificate(path, S_IRWXG | S_IRWXO, &found, why);
    if (!error &&
        !(decode(found.public, &pair->public) && decode(found.secret, &pair->secret) &&
          zmq_curve_public(derived, found.secret) == 0 && strcmp(derived, found.public) == 0))
        error = fail(why, ERR_INVALID,
                     "%.300s is no certificate with a public and a secret key that belong together",
                     path);
    bool fits = role ? strcmp(found.role, role) == 0 : strcmp(found.role, "ventilator") != 0;
    if (!error && !fits)
        error = fail(why, ERR_INVALID, "%.300s is the key of a %s, and this is a %s", path,
                     found.role[0] ? found.role : "member without a role",
                     role ? role : "program for workers' and sinks' keys");
    explicit_bzero(&found, sizeof found);
    return error;
}

enum error keys_load(struct keys *keys, const char *directory, const char *role, struct why *why)
{
    *keys = (struct keys){0};
    if (!zmq_has("curve"))
        return fail(why, ERR_UNSUPPORTED,
                    "this libzmq was built without CURVE, so there are no keys; use another one");
    enum error error = keys_check_directory(directory, why);
    char *path = xasprintf("%s/" KEYS_SECRET, directory);
    error = error ? error : read_pair(path, role, &keys->own, why);
    free(path);
    if (role && strcmp(role, "ventilator") == 0)
        return error;
    path = xasprintf("%s/" KEYS_VENTILATOR, directory);
    error = error ? error : keys_read_public(path, &keys->ventilator, why);
    free(path);
    return error;
}
