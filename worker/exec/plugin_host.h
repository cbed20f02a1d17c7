/* SPDX-License-Identifier: MPL-2.0 */
#ifndef ZFARM_PLUGIN_HOST_H
#define ZFARM_PLUGIN_HOST_H

/* The child's side of the plugin executor: the process of one slot, which loads the plugin and
 * calls it. worker/main.c enters it before anything else when its first argument is
 * PLUGIN_HOST_FLAG; the arguments are plugin.c's and no user's.
 *
 * Returns the process's exit status when the executor has closed its end, or when the plugin could
 * not be loaded or made ready; that has been reported then (plugin_link.h). Blocks all the time
 * between.
 *
 * Owns the plugin. Decides what the plugin's functions are called with, and what fits into the area. worker/main.c
 * calls it; it calls plugin_link.h and the plugin (zfarm/plugin.h). */
#define PLUGIN_HOST_FLAG "--plugin-host"

/* program --plugin-host SLOT OUTPUT_MAX FILE [ARG ...] */
enum {
    PLUGIN_HOST_FLAG_AT = 1,
    PLUGIN_HOST_SLOT,       /* from 1 */
    PLUGIN_HOST_OUTPUT_MAX, /* bytes a stream */
    PLUGIN_HOST_FILE,       /* as dlopen takes it */
    PLUGIN_HOST_ARGS        /* for zfarm_init */
};

int plugin_host_main(int argc, char **argv);

#endif
