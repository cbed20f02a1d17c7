#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# Signals, by hand and for zfarm run, also as process 1; and what is said when nothing moves.
# shellcheck disable=SC2016,SC2154 # the quoted variables are the tasks' own; farm.bash sets others
load helpers
load farm

slow='echo {} >>log; sleep 0.3; echo {}'

# interrupted SUMMARY RESULTS: a job that was stopped, and all that ran has a result.
interrupted() {
  grep -qE ' 0 failed, 0 lost(, [0-9]+ not run)?; 1 worker; .*; input not read to its end$' "$1" || return
  one_each <(sort -n "$2") "$(sort -u log | wc -l)"
}

@test "zfarm run at the first INT lets what runs finish, and ends with 255" {
  start farm zfarm run -j2 --queue-max 65536 --shell "$slow" :::: <(seq 1000000)
  wait_for 10 lines_reach log 4
  send INT farm
  ends farm 10 255
  interrupted farm.err farm.out
}

@test "zfarm run at the second INT ends at once and leaves nothing running" {
  start farm zfarm run -j2 --shell 'echo {} >>log; sleep 300' ::: 1 2 3
  wait_for 10 lines_reach log 2
  send INT farm
  wait_for 5 says farm.err 'stopping: what runs may finish'
  send_again INT farm
  ends farm 5 255
  wait_for 5 nothing_is_marked
}

@test "a ventilator by hand at the first TERM lets what runs finish, and ends with 255" {
  farm_places
  ventilator <(seq 1000000) --queue-max 65536
  sink
  worker one -j2 --shell "$slow"
  wait_for 10 lines_reach log 4
  send TERM ventilator
  ends sink 10 255
  ends ventilator 10 255
  ends one 10 255
  says one.err "was interrupted"
  interrupted sink.err sink.out
}

@test "a sink's first TERM stops the job, and it stays to the end" {
  farm_places
  ventilator <(seq 1000000) --queue-max 65536
  sink
  worker one -j2 --shell "$slow"
  wait_for 10 lines_reach log 4
  send TERM sink
  ends sink 10 255
  ends ventilator 10 255
  ends one 10 255
  says one.err "was interrupted"
  interrupted sink.err sink.out
}

@test "zfarm run as process 1 reaps orphans and obeys TERM" {
  unshare --pid --fork --mount-proc true 2>/dev/null || skip "this user may not make a namespace"
  start space unshare --pid --fork --mount-proc --kill-child zfarm run -j1 --shell \
    '(sleep 0.1 & echo $! >orphan); echo {} >>log; sleep 0.5; [ {} != 1 ] || ls /proc >seen' ::: {1..50}
  wait_for 10 lines_reach log 3
  run ! grep -qx "$(head -n1 orphan)" seen
  inside=$(children_of "${pid_of[space]}")
  kill -TERM "${inside// /}"
  ends space 10 255
  says space.err '; input not read to its end'
}

@test "a ventilator says whom it waits for: a sink, then a worker" {
  farm_places
  ventilator <(seq 3)
  wait_for 8 says ventilator.err "no sink has joined yet: start one with: zfarm-sink --connect $control"
  sink
  wait_for 8 says ventilator.err \
    "no worker has joined yet: start one with: zfarm-worker --connect $control"
  worker one -j1 -- echo
  ends sink 10 0
  ends ventilator 10 0
  one_each sink.out 3
}
