/* SPDX-License-Identifier: MPL-2.0 */
#include "ventilator/door.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/xalloc.h"

#define LOOK_NS (1 * NS_PER_S)

/* ---- admitted keys ---- */

/* What a file of admitted keys admits to, by its name; 0: it is none. */
static unsigned role_of(const char *name)
{
    const char *end = strrchr(name, '.');
    if (!end || end == name)
        return 0;
    if (strcmp(end, ".worker") == 0)
        return KEY_WORKER;
    return strcmp(end, ".sink") == 0 ? KEY_SINK : 0;
}

/* ERR_IO: it cannot be read just now. */
static enum error door_admit(struct door *door, const char *name, struct admitted *to)
{
    struct key key;
    struct why why;
    char *path = xasprintf("%s/%s", door->directory, name);
    unsigned role = role_of(name);
    enum error error = role ? keys_read_public(path, &key, &why) : ERR_NONE;
    if (role == 0)
        log_line("%s admits nobody: its name ends neither with .worker nor with .sink", path);
    else if (error)
        log_line("%s", why.text);
    else if (!admitted_add(to, &key, role))
        log_line("%s admits nobody: there are as many keys as there may be (%d)", path,
                 ADMITTED_MAX);
    free(path);
    return error == ERR_IO ? error : ERR_NONE;
}

/* Changes when a file comes, goes or is written. */
static uint64_t signature_of(DIR *files)
{
    uint64_t signature = 1;
    rewinddir(files);
    for (struct dirent *file; (file = readdir(files));) {
        struct stat status = {0};
        if (file->d_name[0] == '.' || fstatat(dirfd(files), file->d_name, &status, 0))
            continue;
        uint64_t facts[] = {XXH3_64bits(file->d_name, strlen(file->d_name)),
                            (uint64_t)status.st_ino,
                            (uint64_t)status.st_size,
                            status.st_mode,
                            (uint64_t)status.st_mtim.tv_sec,
                            (uint64_t)status.st_mtim.tv_nsec,
                            (uint64_t)status.st_ctim.tv_sec,
                            (uint64_t)status.st_ctim.tv_nsec};
        signature += XXH3_64bits(facts, sizeof facts);
    }
    return signature;
}

/* What was admitted before and is in both. */
static void keep_common(const struct admitted *before, struct admitted *now)
{
    struct admitted common = {0};
    for (size_t i = 0; i < now->count; i++) {
        unsigned roles = now->items[i].roles & admitted_roles(before, &now->items[i].key);
        if (roles)
            admitted_add(&common, &now->items[i].key, roles);
    }
    admitted_free(now);
    *now = common;
}

/* Others may have put keys into a directory that is not trusted: they are not taken, but removed ones go.
 * False: not all could be read; then all stays as it was. */
static bool door_read_all(struct door *door, DIR *files, bool trusted)
{
    struct admitted admitted = {0};
    enum error error = ERR_NONE;
    rewinddir(files);
    for (struct dirent *file; !error && (file = readdir(files));)
        if (file->d_name[0] != '.')
            error = door_admit(door, file->d_name, &admitted);
    if (error) {
        admitted_free(&admitted);
        return false;
    }
    if (!trusted)
        keep_common(&door->admitted, &admitted);
    admitted_free(&door->admitted);
    door->admitted = admitted;
    return true;
}

static void door_count(const struct door *door, size_t *workers, size_t *sinks)
{
    *workers = *sinks = 0;
    for (size_t i = 0; i < door->admitted.count; i++) {
        *workers += (door->admitted.items[i].roles & KEY_WORKER) != 0;
        *sinks += (door->admitted.items[i].roles & KEY_SINK) != 0;
    }
}

/* Whether something in the directory has changed, which is taken in then. A directory that is gone
 * admits nobody; one that cannot be read just now, whom it admitted before; one that others can change,
 * nobody else. */
static bool door_look(struct door *door)
{
    struct why why;
    enum error error = keys_check_directory(door->directory, &why);
    bool trusted = !error;
    DIR *files = error == ERR_NOT_FOUND ? NULL : opendir(door->directory);
    if (error != ERR_NOT_FOUND && (error || !files) && !door->unreadable)
        log_line("nobody new is admitted: %s", error ? why.text : strerror(errno));
    door->unreadable = error != ERR_NOT_FOUND && (error || !files);
    if (!files && error != ERR_NOT_FOUND)
        return false;
    uint64_t signature = files ? signature_of(files) + trusted : 0;
    bool changed = signature != door->signature;
    door->signature = signature;
    if (changed && files) {
        changed = door_read_all(door, files, trusted);
        door->signature = changed ? signature : 0;
    } else if (changed)
        admitted_free(&door->admitted);
    if (files)
        closedir(files);
    return changed;
}

/* ---- handshakes ---- */

/* The number of the lane of that domain; 0: it is none. */
static uint64_t lane_of(const char *domain)
{
    size_t size = strlen(GATE_DOMAIN);
    return strncmp(domain, GATE_DOMAIN, size) == 0 ? strtoull(domain + size, NULL, 10) : 0;
}

static bool door_decide(void *context, const struct zap_request *request)
{
    struct door *door = context;
    struct why why;
    uint64_t lane = lane_of(request->domain);
    unsigned roles = admitted_roles(&door->admitted, &request->key);
    if (lane && roles & KEY_WORKER)
        return door->gate && gate_authenticated(door->gate, lane, &request->key);
    if (roles && strcmp(request->domain, DOOR_CONTROL) == 0)
        return true;
    const char *address = lane && door->gate ? gate_peer(door->gate, lane) : request->address;
    if (refusals_say(&door->refusals, &request->key, lane ? "a lane" : "a connection to control",
                     address, door->now_ns, &why))
        log_line("%s", why.text);
    return false;
}

/* ---- the door ---- */

enum error door_open(struct door *door, const char *keys, uint64_t now_ns, struct why *why)
{
    size_t workers, sinks;
    *door = (struct door){.now_ns = now_ns, .look_ns = now_ns + LOOK_NS};
    door->directory = xasprintf("%s/" KEYS_ADMITTED, keys);
    enum error error = keys_load(&door->keys, keys, "ventilator", why);
    error = error ? error : keys_check_directory(door->directory, why);
    error = error ? error : zap_new(&door->zap, door_decide, door, why);
    if (error)
        return error;
    door_look(door);
    door_count(door, &workers, &sinks);
    if (!workers || !sinks)
        log_line("%s admits no %s yet", door->directory, workers ? "sink" : "worker");
    return ERR_NONE;
}

void door_close(struct door *door)
{
    zap_free(&door->zap);
    admitted_free(&door->admitted);
    free(door->directory);
    explicit_bzero(&door->keys, sizeof door->keys);
    *door = (struct door){0};
}

bool door_turn(struct door *door, uint64_t now_ns)
{
    size_t workers, sinks;
    bool changed = now_ns >= door->look_ns && door_look(door);
    door->now_ns = now_ns;
    if (now_ns >= door->look_ns)
        door->look_ns = now_ns + LOOK_NS;
    if (changed) {
        door_count(door, &workers, &sinks);
        log_line("admitted keys have changed workers=%zu sinks=%zu", workers, sinks);
    }
    zap_turn(door->zap);
    return changed;
}

uint64_t door_deadline(const struct door *door)
{
    return door->look_ns;
}

bool door_admits(const struct door *door, const struct key *key)
{
    return admitted_roles(&door->admitted, key) != 0;
}
