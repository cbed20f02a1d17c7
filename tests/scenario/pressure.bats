#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# A sink that takes no results, since nobody takes its own, is no dead connection: however long that lasts, none is
# made anew, and no task runs twice. disk.bats has the same for a full disk.
# shellcheck disable=SC2016,SC2089,SC2090,SC2154 # the quotes are another shell's; farm.bash sets control and results
load helpers
load farm

# farm COUNT COMMAND: ventilator and worker. The limit of silence is 1.2 s. Each task appends its number to log.
farm() {
  farm_places
  seq "$1" >tasks
  start ventilator zfarm-ventilator --bind "$control" -a tasks --heartbeat 0.2
  worker worker -j2 --shell "echo {} >>log; $2"
}

output='echo {}; head -c 200000 /dev/zero | tr "\0" x; echo'

# all_once COUNT: the job ends well, each task has run once, and no connection was taken for dead.
all_once() {
  ends sink 60 0
  ends ventilator 20 0
  ends worker 20 0
  says sink.err "$1 tasks: $1 ok, 0 failed, 0 lost"
  one_each log "$1"
  nothing_was_cut
}

@test "nobody reads the output for 30 s" {
  mkfifo output go
  start reader bash -c 'exec <output; read -r <go; grep -c x'
  farm 300 "$output"
  start sink bash -c 'exec zfarm-sink "$@" >output' sink --connect "$control" --bind "$results"
  sleep 30 # the pause that is tested
  run ! lines_reach log 300
  echo >go
  all_once 300
  ends reader 20 0
  [[ $(<reader.out) == 300 ]]
}

@test "the spool of -k is full for ten limits" {
  farm 100 "while [ {} = 1 -a ! -e go ]; do sleep 0.1; done; $output"
  sink -k --spool-max 1M
  wait_for 60 lines_reach log 4
  sleep 12 # what is tested
  run ! lines_reach log 100
  touch go
  all_once 100
  same <(grep -v x sink.out) <(seq 100)
}
