/* SPDX-License-Identifier: MPL-2.0 */
#include "zfarm/keys.h"

#include <czmq.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cli/cli.h"
#include "common/net/keys.h"
#include "common/base/log.h"
#include "common/sys/private_dir.h"
#include "common/sys/shortage.h"
#include "common/base/shown.h"
#include "common/base/xalloc.h"

enum { NAME_MAX_SIZE = 64 };

/* A member of the farm and where its things are. */
struct key_holder {
    const char *name;
    const char *role;
    char *directory;
    char *unfinished; /* becomes `directory` when all is in it */
};

static enum error keys_verb_cannot(const char *verb, const char *path, struct why *why)
{
    return fail(why, shortage_error(TRIED_FILE, errno), "cannot %s %s: %s", verb, path,
                strerror(errno));
}

/* What is there already must be nobody else's to change. */
static enum error make_directory(const char *path, struct why *why)
{
    if (mkdir(path, 0700) == 0)
        return ERR_NONE;
    return errno == EEXIST ? keys_check_directory(path, why)
                           : keys_verb_cannot("make the directory", path, why);
}

static enum error check_name(const char *name, struct why *why)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
    size_t size = strlen(name);
    bool taken = strcmp(name, "ventilator") == 0 || strcmp(name, "sink") == 0;
    if (!taken && size > 0 && size <= NAME_MAX_SIZE && strspn(name, letters) == size &&
        !strchr("-_.", name[0]))
        return ERR_NONE;
    return fail(
        why, ERR_INVALID,
        "'%.100s' is no name for a worker's keys: it takes up to %d letters, digits, '-', '_' "
        "and '.', begins with none of these signs, and is neither ventilator nor sink",
        name, NAME_MAX_SIZE);
}

/* ---- certificates ---- */

static void describe(zcert_t *certificate, const struct key_holder *holder)
{
    char fingerprint[KEY_FINGERPRINT_SIZE];
    struct key public;
    memcpy(public.octets, zcert_public_key(certificate), KEY_SIZE);
    key_fingerprint(&public, fingerprint);
    zcert_set_meta(certificate, "name", "%s", holder->name);
    zcert_set_meta(certificate, "role", "%s", holder->role);
    zcert_set_meta(certificate, "fingerprint", "%s", fingerprint);
}

static enum error save_secret(zcert_t *certificate, const char *directory, struct why *why)
{
    char *path = xasprintf("%s/" KEYS_SECRET, directory);
    enum error error = ERR_NONE;
    if (zcert_save_secret(certificate, path) || chmod(path, 0600))
        error = keys_verb_cannot("write", path, why);
    free(path);
    return error;
}

static enum error save_public(zcert_t *certificate, const char *path, struct why *why)
{
    return zcert_save_public(certificate, path) || chmod(path, 0644)
               ? keys_verb_cannot("write", path, why)
               : ERR_NONE;
}

/* The file comes at once and whole: a ventilator may be looking at the directory. */
static enum error keys_verb_admit(zcert_t *certificate, const char *farm,
                                  const struct key_holder *holder, struct why *why)
{
    char *unfinished = xasprintf("%s/ventilator/" KEYS_ADMITTED "/.%s", farm, holder->name);
    char *path =
        xasprintf("%s/ventilator/" KEYS_ADMITTED "/%s.%s", farm, holder->name, holder->role);
    enum error error = save_public(certificate, unfinished, why);
    if (!error && rename(unfinished, path))
        error = keys_verb_cannot("write", path, why);
    free(unfinished);
    free(path);
    return error;
}

/* Puts the ventilator's public key beside the member's own. */
static enum error introduce_ventilator(const char *farm, const char *directory, struct why *why)
{
    static const byte no_secret[KEY_SIZE];
    static const struct key_holder ventilator = {"ventilator", "ventilator", NULL, NULL};
    struct keys keys;
    char *from = xasprintf("%s/ventilator", farm);
    char *path = xasprintf("%s/" KEYS_VENTILATOR, directory);
    enum error error = keys_load(&keys, from, "ventilator", why);
    if (!error) {
        zcert_t *certificate = zcert_new_from(keys.own.public.octets, no_secret);
        describe(certificate, &ventilator);
        error = save_public(certificate, path, why);
        zcert_destroy(&certificate);
    }
    explicit_bzero(&keys, sizeof keys);
    free(from);
    free(path);
    return error;
}

/* ---- members ---- */

static enum error keys_verb_fill(zcert_t *certificate, const char *farm,
                                 const struct key_holder *holder, struct why *why)
{
    enum error error = make_directory(holder->unfinished, why);
    error = error ? error : save_secret(certificate, holder->unfinished, why);
    if (strcmp(holder->role, "ventilator") != 0) {
        error = error ? error : introduce_ventilator(farm, holder->unfinished, why);
        return error ? error : keys_verb_admit(certificate, farm, holder, why);
    }
    char *admitted = xasprintf("%s/" KEYS_ADMITTED, holder->unfinished);
    error = error ? error : make_directory(admitted, why);
    free(admitted);
    return error;
}

static enum error keys_verb_make(const char *farm, const struct key_holder *holder, struct why *why)
{
    zcert_t *certificate = zcert_new();
    describe(certificate, holder);
    enum error error = keys_verb_fill(certificate, farm, holder, why);
    zcert_destroy(&certificate);
    if (!error && rename(holder->unfinished, holder->directory))
        error = keys_verb_cannot("make the directory", holder->directory, why);
    return error;
}

static bool is_admitted(const char *farm, const struct key_holder *holder)
{
    char *path =
        xasprintf("%s/ventilator/" KEYS_ADMITTED "/%s.%s", farm, holder->name, holder->role);
    bool found = access(path, F_OK) == 0;
    free(path);
    return found;
}

static enum error keys_verb_tell(const char *farm, const struct key_holder *holder, bool made,
                                 struct why *why)
{
    char fingerprint[KEY_FINGERPRINT_SIZE];
    struct keys keys;
    enum error error = keys_load(&keys, holder->directory, holder->role, why);
    if (error)
        return error;
    key_fingerprint(&keys.own.public, fingerprint);
    explicit_bzero(&keys, sizeof keys);
    bool shut_out = strcmp(holder->role, "ventilator") != 0 && !is_admitted(farm, holder);
    char *shown = shown_copy(bytes_of(holder->directory));
    printf("%s: %s for zfarm-%s, key=%s%s\n", shown, made ? "made" : "is there already",
           holder->role, fingerprint,
           shut_out ? "; it is revoked: to make a new one remove the directory first" : "");
    free(shown);
    return ERR_NONE;
}

static enum error provide(const char *farm, const char *name, const char *role, bool tells,
                          struct why *why)
{
    struct key_holder holder = {name, role, xasprintf("%s/%s", farm, name),
                                xasprintf("%s/.%s.unfinished", farm, name)};
    bool missing = access(holder.directory, F_OK) != 0;
    enum error error = missing ? keys_verb_make(farm, &holder, why) : ERR_NONE;
    if (!error && tells)
        error = keys_verb_tell(farm, &holder, missing, why);
    free(holder.directory);
    free(holder.unfinished);
    return error;
}

static char *by_default[] = {"worker", NULL};

static enum error provide_all(const char *farm, char **names, bool tells, struct why *why)
{
    enum error error = ERR_NONE;
    for (char **name = names; *name && !error; name++)
        error = check_name(*name, why);
    if (!error && !zmq_has("curve"))
        error = fail(why, ERR_UNSUPPORTED, "this libzmq was built without CURVE");
    error = error ? error : make_directory(farm, why);
    error = error ? error : provide(farm, "ventilator", "ventilator", tells, why);
    error = error ? error : provide(farm, "sink", "sink", tells, why);
    for (char **name = names; *name && !error; name++)
        error = provide(farm, *name, "worker", tells, why);
    return error;
}

enum error keys_make(const char *farm, struct why *why)
{
    zsys_handler_set(NULL);
    return provide_all(farm, by_default, false, why);
}

void keys_remove(const char *farm)
{
    static const char admitted[] = "/ventilator/" KEYS_ADMITTED;
    static const char *const places[] = {admitted, "/ventilator", "/sink", "/worker", ""};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char *path = xasprintf("%s%s", farm, places[i]);
        private_dir_sweep(path, "");
        rmdir(path);
        free(path);
    }
}

static int keys_verb_run(const struct farm_options *options, const struct options *given)
{
    (void)options;
    struct why why;
    if (given->word_count == 0) {
        log_line("where are the keys to be? Try: zfarm keys farm");
        return 255;
    }
    zsys_handler_set(NULL);
    char **names = given->words[1] ? given->words + 1 : by_default;
    if (provide_all(given->words[0], names, true, &why)) {
        log_line("%s", why.text);
        return 255;
    }
    return fflush(stdout) ? 255 : 0;
}

int keys_main(int argc, char **argv)
{
    return cli_main(FARM_KEYS, argc, argv, keys_verb_run);
}
