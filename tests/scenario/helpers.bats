#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# Every other scenario believes the helpers, so they are tested first.
load helpers

@test "waiting ends when the event comes" {
  start writer bash -c 'echo ready; exec sleep 60'
  wait_for 10 says writer.out ready
  is_running writer
}

@test "waiting fails at its deadline, with words" {
  run wait_for 0 says nothing.out ready
  [[ $status == 1 && $output == "not within 0 s: says nothing.out ready" ]]
}

@test "a wrong exit status is told" {
  start program bash -c 'exit 3'
  if ends program 10 0 >told; then
    return 1
  fi
  [[ $(<told) == "program ended with 3 instead of 0" ]]
}

@test "a right exit status is a success, also that of a killed program" {
  start program sleep 60
  send KILL program
  ends program 10 137
}

@test "ports are free and outside the range of outgoing connections" {
  port=$(free_ports 3)
  ((port >= 20000 && port + 2 < 32768))
}

@test "a port in use is seen as such" {
  bound=$(awk '$4 == "0A" { split($2, part, ":"); print part[2]; exit }' /proc/net/tcp)
  [[ -n $bound ]] || skip "no program listens on this machine"
  run ! port_is_free $((16#$bound))
}

@test "a program that ignores TERM is killed" {
  start stubborn bash -c 'trap "" TERM; echo ready; exec sleep 60'
  wait_for 10 says stubborn.out ready
  stop_all 0
  ends stubborn 10 137
}

@test "a process that left its group is found at the end, named and killed" {
  start parent bash -c 'setsid bash -c "echo started; kill -STOP \$\$" &'
  ends parent 10 0
  wait_for 10 says parent.out started
  if no_process_is_left 0 >told; then
    return 1
  fi
  grep -q "^still running: [0-9]* bash -c echo started" told
  wait_for 10 nothing_is_marked
}

@test "a sanitizer's report fails the test, in its file and on stderr" {
  for place in sanitizer.1 program.err; do
    echo "a.c:1:1: runtime error: signed integer overflow" >"$place"
    if no_sanitizer_report >told; then
      return 1
    fi
    cmp told "$place"
    rm "$place"
  done
  no_sanitizer_report
}
