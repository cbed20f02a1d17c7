/* SPDX-License-Identifier: MPL-2.0 */
#include "common/cli/farm_options.h"

/* What each program's --help says around its options. */
const struct option_program farm_programs[FARM_PROGRAMS] = {
    {.bit = FARM_RUN,
     .name = "zfarm",
     .usage = "zfarm run [OPTION]... [--] COMMAND [ARG]... [::: VALUE...] [:::: FILE...]\n"
              "Runs COMMAND for each line of stdin, on all cores; {} is the line.\n",
     .more = "Examples:\n"
             "  find . -name '*.log' | zfarm run -k -- gzip -9 {}\n"
             "  zfarm run --shell 'convert {} {.}.png' ::: *.jpg\n"},
    {.bit = FARM_VENTILATOR,
     .name = "zfarm-ventilator",
     .usage = "zfarm-ventilator [OPTION]... [::: VALUE...] [:::: FILE...]\n"
              "Hands tasks, a line each, to every zfarm-worker that connects.\n",
     .more = "Examples:\n"
             "  find . -name '*.c' | zfarm-ventilator\n"
             "  zfarm-ventilator --bind tcp://10.0.0.1:5556 --keys farm/ventilator -a tasks\n"},
    {.bit = FARM_WORKER,
     .name = "zfarm-worker",
     .usage = "zfarm-worker [OPTION]... [--] COMMAND [ARG]...\n"
              "Runs COMMAND for each task that the ventilator hands it; {} is the task.\n",
     .more = "Examples:\n"
             "  zfarm-worker -- sha256sum {}\n"
             "  zfarm-worker --connect tcp://10.0.0.1:5556 --keys farm/worker -j 50% -- gzip\n"},
    {.bit = FARM_SINK,
     .name = "zfarm-sink",
     .usage = "zfarm-sink [OPTION]...\n"
              "Collects the results of all workers, each once, and says how the job ended.\n",
     .more = "Examples:\n"
             "  zfarm-sink -k > results.txt\n"
             "  zfarm-sink --connect tcp://10.0.0.1:5556 --bind 'tcp://*:5558' --keys sink\n"},
    {.bit = FARM_VERIFY,
     .name = "zfarm",
     .usage = "zfarm verify [OPTION]... FILE.db [INPUT] [::: VALUE...] [:::: FILE...]\n"
              "Counts what the store FILE.db has; with the job's INPUT (- is stdin), and the\n"
              "options that split it, each task is compared, too. Ends with 0 if all is there,\n"
              "with 1 if something is missing or different or the job is not over, with 255 if\n"
              "it cannot tell.\n",
     .more = "Examples:\n"
             "  zfarm verify farm.db tasks.txt\n"
             "  zfarm verify --missing farm.db tasks.txt | zfarm run -- gzip -9 {}\n"},
    {.bit = FARM_FAILED,
     .name = "zfarm",
     .usage = "zfarm failed [OPTION]... FILE.db\n"
              "Lists the tasks that failed, by the store of their job: number, how it ended,\n"
              "tries, worker, task, with tabs between. Also while the job runs. Ends with 0, or\n"
              "with 255 if it cannot tell.\n",
     .more = "Examples:\n"
             "  zfarm failed farm.db\n"
             "  zfarm failed -0 farm.db | zfarm run -0 -- gzip -9 {}\n"},
    {.bit = FARM_WHY,
     .name = "zfarm",
     .usage = "zfarm why [OPTION]...\n"
              "Tells of each unfinished task where it is, for how long, and what would let it\n"
              "go on: for every farm that you have on this machine.\n",
     .more = "Ends with 0 if all have answered, with 1 if there is none, else with 255.\n"
             "\n"
             "Examples:\n"
             "  zfarm why\n"
             "  zfarm why --connect tcp://10.0.0.1:5556 --keys farm/worker\n"},
    {.bit = FARM_KEYS,
     .name = "zfarm",
     .usage = "zfarm keys DIR [NAME]...\n"
              "Makes the keys of a farm in DIR: of its ventilator, its sink, and of a worker\n"
              "for each NAME (worker). What is there already stays as it is, so workers can be\n"
              "added.\n",
     .more = "\n"
             "Give each program its directory with --keys, and copy it to where that runs.\n"
             "All workers may have the same one; with one each, one of them can be revoked,\n"
             "also while it runs: remove its file from DIR/ventilator/admitted.\n"
             "\n"
             "Examples:\n"
             "  zfarm keys farm\n"
             "  zfarm keys farm alpha && scp -rp farm/alpha alpha:\n"},
};
