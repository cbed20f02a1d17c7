/* SPDX-License-Identifier: MPL-2.0 */

/* A plugin that forgot the one function that it must have. */
#include <zfarm/plugin.h>

ZFARM_PLUGIN;
