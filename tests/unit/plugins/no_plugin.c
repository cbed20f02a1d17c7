/* SPDX-License-Identifier: MPL-2.0 */

/* A shared object like any other. */
int no_plugin_at_all(void);

int no_plugin_at_all(void)
{
    return 1;
}
