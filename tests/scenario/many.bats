#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# shellcheck disable=SC2154 # control and results are set in farm.bash
# Many workers: the stub is all of them, each with its own session and connections; or each is a program.

load helpers
load farm

# many COUNT: starts so many workers, which answer each task at once with what it is.
many() { start many "$ZFARM_STUB" "$control" "$1"; }

@test "two hundred workers are in, and each of 300,000 tasks is there once" {
  farm_places
  seq 300000 >tasks
  held tasks
  ventilator held
  sink --bar
  many 200
  wait_for 60 workers_are 200
  let_go
  ends sink 120 0
  ends ventilator 20 0
  ends many 20 0
  ends feeder 5 0
  one_each sink.out 300000
  says sink.err "300000 tasks: 300000 ok, 0 failed, 0 lost; "
}

@test "two hundred workers are killed at once, and two hundred others do the rest" {
  farm_places
  seq 300000 >tasks
  held tasks
  ventilator held
  sink --bar
  many 200
  wait_for 60 lines_reach sink.out 1
  send KILL many
  ends many 5 137
  start others "$ZFARM_STUB" "$control" 200
  wait_for 60 workers_are 200
  let_go
  ends sink 120 0
  ends ventilator 20 0
  ends others 20 0
  ends feeder 5 0
  one_each sink.out 300000
  says sink.err "300000 tasks: 300000 ok, 0 failed, 0 lost; "
}

# Starting so many takes the machine longer than the limit of silence, and all of them longer than that to be served.
@test "two hundred programs start at once and work at once: none is cut, none gives up" {
  local workers=(w{1..200}) name
  farm_places
  seq 2000 >tasks
  held tasks
  ventilator held
  sink --bar
  for name in "${workers[@]}"; do
    worker "$name" -j1 --shell 'sleep 0.2; echo {}'
  done
  wait_for 400 workers_are 200
  let_go
  ends sink 200 0
  ends ventilator 60 0
  for name in "${workers[@]}"; do
    ends "$name" 60 0
  done
  ends feeder 5 0
  one_each sink.out 2000
  nothing_was_cut
}

@test "a worker more than --workers-max waits until one has left" {
  farm_places
  seq 1000 >tasks
  held tasks
  ventilator held --workers-max 20
  sink --bar
  many 30
  wait_for 60 workers_are 20
  let_go
  ends sink 60 0
  ends ventilator 20 0
  one_each sink.out 1000
}
