/* SPDX-License-Identifier: MPL-2.0 */

/* What the worker's program is to its plugin children, alone: the tests start this one. */
#include "worker/exec/plugin_host.h"

int main(int argc, char **argv)
{
    return plugin_host_main(argc, argv);
}
