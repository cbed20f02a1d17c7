#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# Memory and disk stay bounded, and a reader that pauses loses nothing.
# shellcheck disable=SC2016,SC2154 # the quoted variables are the tasks' own; farm.bash sets others
load helpers
load farm

# What GNU time says is the largest resident size of any one process below it, in KiB.
needs_time() { command -v time >/dev/null || skip "GNU time is not installed"; }

@test "a million tiny tasks: no process grows to 64 MiB" {
  needs_time
  plugin multiply
  seq 1000000 >tasks
  start_reading tasks farm env time -f %M -o peak.txt zfarm run -j2 --plugin ./multiply.so
  ends farm 120 0
  summary_is farm.err '1000000 tasks: 1000000 ok, 0 failed, 0 lost'
  one_each farm.out 1000000
  echo "peak: $(<peak.txt) KiB"
  (($(<peak.txt) < 64 * 1024))
}

@test "a reader that pauses for 3 s loses nothing" {
  plugin multiply
  mkfifo pipe
  start_reading <(seq 300000) farm bash -c 'exec zfarm run -j2 --plugin ./multiply.so >pipe'
  exec 4<pipe
  sleep 3 # this is the pause that is tested
  cat <&4 >results
  exec 4<&-
  ends farm 60 0
  one_each results 300000
}

@test "with -k one task that never ends lets 199,000 others pass" {
  cat >stuck.c <<'C'
#include <unistd.h>
#include <zfarm/plugin.h>
ZFARM_PLUGIN;
int zfarm_handle(void *state, const struct zfarm_task *task, struct zfarm_reply *out,
                 struct zfarm_reply *err)
{
    (void)state, (void)err;
    while (task->seq == 10 && access("go", F_OK))
        usleep(10000);
    zfarm_append(out, task->data, task->size);
    zfarm_append(out, "\n", 1);
    return 0;
}
C
  plugin stuck
  seq 200000 >tasks
  start_reading tasks farm zfarm run -j2 -k --joblog log --plugin ./stuck.so
  # Not quite all: what was given to the plugin in one batch with task 10 waits behind it.
  wait_for 60 lines_reach log 199000
  same farm.out <(seq 9)
  touch go
  ends farm 60 0
  same farm.out tasks
}
