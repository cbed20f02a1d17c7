#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# What runs out: descriptors, processes, standard ones that are closed; programs that come and go.
# shellcheck disable=SC2016,SC2154 # the quoted variables are the tasks' own; bats sets stderr and stderr_lines
load helpers
load farm
load limits

@test "with too few descriptors zfarm run says so in one sentence, at the start" {
  run -255 --separate-stderr with_limit -n 20 zfarm run -j1 --shell true ::: a
  [[ ${#stderr_lines[@]} == 1 && $stderr == *'open files'*'ulimit -n'* ]]
}

@test "with few descriptors fewer tasks run at a time, and that is said once" {
  local n
  for n in 18 40 48 56 64 100 128; do
    with_few_files "$n"
  done
}

@test "a user who may have few processes has fewer tasks at a time, or one sentence" {
  ((UID == 0)) || skip "only root can become a user who has no process yet"
  local n
  for n in 20 30 45 60; do
    with_few_processes "$n"
  done
}

@test "a standard output that is closed is an error, and other closed ones do no harm" {
  run -255 bash -c 'zfarm run -- echo {} ::: a >&- 2>err'
  one_line err
  says err 'standard output is closed'
  bash -c 'zfarm run -o out -- echo {} ::: a >&-'
  [[ $(<out) == a ]]
  [[ $(bash -c 'zfarm run -- echo {} ::: a <&- 2>&-') == a ]]
}

@test "a COMMAND that is being written is tried again for a moment" {
  cp "$(type -P echo)" tool
  start writer bash -c 'exec 7>>tool; : >held; until [ -e over ]; do sleep 0.02; done'
  wait_for 10 test -e held
  start run zfarm run -j1 -- ./tool {} ::: a
  wait_for 10 has_child run zfarm-worker
  sleep 0.2 # in which it is tried: nothing tells of that
  : >over
  ends run 10 0
  [[ $(<run.out) == a ]]
}

@test "a COMMAND that goes away in the middle fails the tasks that need it" {
  printf '#!/bin/sh\nrm -f tool; echo "$1"\n' >tool && chmod +x tool
  run -2 --separate-stderr zfarm run -j1 -- ./tool {} ::: 1 2 3
  [[ $output == 1 ]]
  [[ $stderr == *'3 tasks: 1 ok, 2 failed, 0 lost'* ]]
}

@test "a COMMAND that can never be started ends the job" {
  printf '#!/nonexistent/interpreter\n' >tool && chmod +x tool
  run -255 zfarm run -j1 -- ./tool {} ::: 1 2 3
}
