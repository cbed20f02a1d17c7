#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# --hedge: what runs long at the end is run a second time elsewhere.
# shellcheck disable=SC2016,SC2154 # the quoted variables are the tasks' own; farm.bash sets others
load helpers
load farm

# farm_of_two [OPTION...]: a ventilator with these options, a sink, and two workers of one slot. Of each
# task the first run hangs, and any other is through at once; who hangs writes its pid into `stuck`.
farm_of_two() {
  farm_places
  ventilator <(echo 1) "$@"
  sink
  local task='echo $$ >>runs; mkdir first 2>/dev/null || { echo {}; exit; }; echo $$ >stuck; exec sleep 300'
  worker w1 -j1 --shell "$task"
  worker w2 -j1 --shell "$task"
}

# is_gone FILE: the process whose pid FILE has.
is_gone() { ! kill -0 "$(<"$1")" 2>/dev/null; }

@test "--hedge: a free worker runs what hangs elsewhere, its result counts, and the other one is killed" {
  farm_of_two --hedge
  ends sink 20 0
  ends ventilator 10 0
  same sink.out <(echo 1)
  summary_is sink.err '1 task: 1 ok, 0 failed, 0 lost; 2 workers'
  lines_reach runs 2
  wait_for 5 is_gone stuck
  ends w1 5 0
  ends w2 5 0
}

# is_known_to_run: a heartbeat has named the task, and that some heartbeats ago.
is_known_to_run() {
  timeout 10 zfarm why --connect "$control" >why.out && grep -qE 'running on [^ ]+ for [3-9]\.' why.out
}

@test "without --hedge it is waited for" {
  farm_of_two
  wait_for 10 test -s stuck
  wait_for 15 is_known_to_run
  is_running sink
  same runs stuck
  kill "$(<stuck)"
  ends sink 10 1
  ends ventilator 10 1
  summary_is sink.err '1 task: 0 ok, 1 failed, 0 lost; '
}

# both_are_told: zfarm why says where it runs, and where again.
both_are_told() {
  timeout 10 zfarm why --connect "$control" >why.out &&
    says why.out 'task 1: running a second time, on w' && says why.out 'task 1: running on w'
}

@test "--hedge: a second run that fails decides nothing, whoever asks is told of both" {
  farm_places
  ventilator <(echo 1) --hedge
  sink
  mkfifo first_may second_may
  local task='mkdir first 2>/dev/null && { read -r x <first_may; echo $x; exit; }
    echo $$ >again; read -r x <second_may; exit 7'
  worker w1 -j1 --shell "$task"
  worker w2 -j1 --shell "$task"
  wait_for 20 test -s again
  wait_for 15 both_are_told
  echo >second_may
  wait_for 10 is_gone again
  is_running sink
  echo fine >first_may
  ends sink 10 0
  ends ventilator 10 0
  same sink.out <(echo fine)
}

# finds_farm: sets control to where the farm of zfarm run is.
finds_farm() {
  timeout 10 zfarm why >why.out || return
  control=$(sed -nE '1s/.* at (ipc:[^)]+)\).*/\1/p' why.out)
  [[ -n $control ]]
}

@test "zfarm run hands --hedge on: of use when another worker joins its farm" {
  local task='mkdir first 2>/dev/null && exec sleep 300; echo {}'
  start farm zfarm run -j1 --hedge --shell "$task" ::: 1
  wait_for 10 test -d first
  wait_for 10 finds_farm
  worker guest -j1 --shell "$task"
  ends farm 20 0
  same farm.out <(echo 1)
  ends guest 10 0
}
