#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# Memory and disk stay bounded, and a reader that pauses loses nothing.
# shellcheck disable=SC2016,SC2154 # the quoted variables are the tasks' own; farm.bash sets others
load helpers
load farm

# What GNU time says is the largest resident size of any one process below it. Sanitizers keep what was
# freed, 256 MiB of it.
peak_is_below() {
  local kib=$(($1 * 1024))
  ! is_sanitized || kib=$((kib + 512 * 1024))
  echo "peak: $(tail -n1 peak.txt) KiB"
  (($(tail -n1 peak.txt) < kib))
}

# farm_peak INPUT OPTION...: zfarm run with its largest process in peak.txt.
farm_peak() {
  local input=$1
  shift
  start_reading "$input" farm env time -f %M -o peak.txt zfarm run -j2 "$@"
}

@test "a million tiny tasks: no process grows to 64 MiB" {
  plugin multiply
  seq 1000000 >tasks
  farm_peak tasks --plugin ./multiply.so
  ends farm 120 0
  summary_is farm.err '1000000 tasks: 1000000 ok, 0 failed, 0 lost'
  one_each farm.out 1000000
  peak_is_below 64
}

@test "300 lines of 1 MiB: no process grows to 64 MiB, and all arrive" {
  cat >size.c <<'C'
#include <zfarm/plugin.h>
ZFARM_PLUGIN;
int zfarm_handle(void *state, const struct zfarm_task *task, struct zfarm_reply *out,
                 struct zfarm_reply *err)
{
    (void)state, (void)err;
    zfarm_append(out, task->size == 1 << 20 ? "1 MiB\n" : "?\n", task->size == 1 << 20 ? 6 : 2);
    return 0;
}
C
  plugin size
  head -c 1048576 /dev/zero | tr '\0' x >line
  echo >>line
  for _ in {1..300}; do cat line; done >tasks
  farm_peak tasks --plugin ./size.so
  ends farm 120 0
  same <(uniq -c farm.out | tr -s ' ') <(echo ' 300 1 MiB')
  peak_is_below 64
}

@test "a reader that pauses for 3 s loses nothing, and no process grows to 64 MiB" {
  plugin multiply
  mkfifo pipe
  start_reading <(seq 1000000) farm bash -c \
    'exec env time -f %M -o peak.txt zfarm run -j2 --plugin ./multiply.so >pipe'
  exec 4<pipe
  sleep 3 # this is the pause that is tested
  cat <&4 >results
  exec 4<&-
  ends farm 120 0
  one_each results 1000000
  peak_is_below 64
}

@test "-k: large results that wait for their turn are in a file and not in the sink's memory" {
  start farm zfarm run -k -j2 -o out -- \
    sh -c '[ {} != 1 ] || until [ -e go ]; do sleep 0.1; done; head -c 1200000 /dev/zero; echo >>written' ::: {1..300}
  wait_for 200 lines_reach written 299
  local peak
  peak=$(awk '$1 == "VmHWM:" { print $2 }' "/proc/$(child_of farm zfarm-sink)/status")
  echo "peak: $peak kB"
  touch go
  ends farm 200 0
  is_sanitized || ((peak < 64 << 10)) # it was a third of what waits
  (($(stat -c %s out) == 300 * 1200000))
  rm out
}
