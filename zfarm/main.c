/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/sys/shortage.h"
#include "zfarm/failed.h"
#include "zfarm/hosts/host_runner.h"
#include "zfarm/keys.h"
#include "zfarm/run/run.h"
#include "zfarm/verify.h"
#include "zfarm/why.h"

static const char help[] =
    "zfarm run [OPTION]... [--] COMMAND [ARG]... [::: VALUE...]\n"
    "    Runs COMMAND for each line of stdin, or each VALUE, on all cores.\n"
    "zfarm verify [OPTION]... FILE.db [INPUT]\n"
    "    Counts what the store of a job has: whether all is there, what is missing.\n"
    "zfarm failed [OPTION]... FILE.db\n"
    "    Lists the tasks of a store that failed.\n"
    "zfarm why [--connect ENDPOINT]\n"
    "    Tells what each unfinished task of the farms that run here is waiting for.\n"
    "zfarm keys DIR [NAME]...\n"
    "    Makes the keys of a farm that is spread over several machines.\n"
    "zfarm run --help, and so on\n"
    "    All options.\n"
    "\n"
    "A farm of several machines is made of three programs. Start one zfarm-ventilator\n"
    "to hand out the tasks, one zfarm-sink to collect what comes out, and as many\n"
    "zfarm-worker as you like. Each has --help.\n"
    "\n"
    "Examples:\n"
    "  find . -name '*.log' | zfarm run -- gzip -9 {}\n"
    "  zfarm run -j4 -k -- ping -c1 {} ::: alpha beta gamma\n"
    "  zfarm verify farm.db tasks.txt\n";

int main(int argc, char **argv)
{
    shortage_open_standard();
    log_init("zfarm");
    const char *word = argc > 1 ? argv[1] : "";
    if (strcmp(word, "run") == 0)
        return run_main(argc - 1, argv + 1);
    if (strcmp(word, "verify") == 0)
        return verify_main(argc - 1, argv + 1);
    if (strcmp(word, "failed") == 0)
        return failed_main(argc - 1, argv + 1);
    if (strcmp(word, "why") == 0)
        return why_main(argc - 1, argv + 1);
    if (strcmp(word, "host-runner") == 0)
        return host_runner_main(argc - 1, argv + 1);
    if (strcmp(word, "--help") == 0)
        return fputs(help, stdout) < 0;
    if (strcmp(word, "--version") == 0)
        return printf("zfarm %s\n", ZFARM_VERSION) < 0;
    if (strcmp(word, "keys") == 0)
        return keys_main(argc - 1, argv + 1);
    if (word[0])
        log_line("there is no command %s; there are zfarm run, verify, failed, why and keys (see "
                 "zfarm --help)",
                 word);
    else
        fputs(help, stderr);
    return 255;
}
