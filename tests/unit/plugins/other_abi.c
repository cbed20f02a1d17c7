/* SPDX-License-Identifier: MPL-2.0 */

/* A plugin of a later interface. */
extern const int zfarm_plugin_abi;
const int zfarm_plugin_abi = 1000;
