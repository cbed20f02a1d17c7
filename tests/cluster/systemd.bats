#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# The units of examples/systemd under a real systemd, stopped and started in the middle of a job. `./dev systemd` runs
# this beside a systemd of its own; it must not run anywhere else.
# shellcheck disable=SC2016 # the quoted variables are the tasks' own
load ../scenario/helpers

state=/var/lib/zfarm
dropins=/run/systemd/system

setup_file() {
  [[ $(cat /proc/1/comm) == systemd ]]
  {
    useradd --system --home-dir "$state" zfarm
    cp "$BATS_TEST_DIRNAME"/../../examples/systemd/*.service /etc/systemd/system
    mkdir -p /etc/zfarm
    zfarm keys /etc/zfarm/keys
    chown -R zfarm: /etc/zfarm/keys
    systemctl daemon-reload
  } >"$BATS_FILE_TMPDIR/setup.log" 2>&1 3>&-
}

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  rm -rf "${state:?}" "$dropins"/zfarm-*
  install -d -o zfarm -g zfarm "$state"
  systemctl daemon-reload
  journalctl --sync
  cursor=$(journalctl --quiet --lines 1 --show-cursor | sed -n 's/^-- cursor: //p')
}

# What a test started is stopped by all means, so that the next one begins with nothing.
teardown() {
  local unit
  [[ ${BATS_TEST_COMPLETED:-} ]] || {
    systemctl --no-pager --lines 0 status 'zfarm-*' || true
    journalctl --no-pager --quiet --lines 60 --after-cursor "$cursor" --unit 'zfarm-*' || true
    tail -n 5 "$state"/{pids,begun,results} || true
  }
  for unit in ventilator sink worker run; do
    systemctl kill --signal KILL "zfarm-$unit" 2>/dev/null || true
    systemctl stop "zfarm-$unit" || true
    systemctl reset-failed "zfarm-$unit" 2>/dev/null || true
  done
  stop_all 10
  wait_for 5 nothing_runs
}

# --- units ---

# unit NAME LINE...: its section Service has these lines, too.
unit() {
  mkdir -p "$dropins/zfarm-$1.service.d"
  printf '%s\n' '[Service]' "${@:2}" >"$dropins/zfarm-$1.service.d/test.conf"
  systemctl daemon-reload
}

# begin NAME...
begin() { systemctl start "${@/#/zfarm-}"; }

property() { systemctl show --value --property "$2" "zfarm-$1"; }

is_state() { [[ $(property "$1" ActiveState) == "$2" ]]; }

# told NAME WORDS: it has said so in this test. has_told waits until the journal has it.
told() { journalctl --quiet --output cat --after-cursor "$cursor" --unit "zfarm-$1" | grep -qF -- "$2"; }
has_told() { wait_for 10 told "$@"; }

nothing_runs() { ! pgrep -u zfarm >/dev/null; }

# No process of the unit is there, and no task, in whatever unit.
none_is_left() {
  local group pid
  while read -r pid; do
    run ! kill -0 "$pid"
  done < <(cat "$state/pids" 2>/dev/null)
  group=/sys/fs/cgroup$(property "$1" ControlGroup)
  [[ $group == /sys/fs/cgroup || ! -s $group/cgroup.procs ]]
}

# has_stopped NAME: as systemd has it, with success, and all of it.
has_stopped() {
  is_state "$1" inactive
  [[ $(property "$1" Result) == success ]]
}

# stops SECONDS NAME...: within that time, and with success.
stops() {
  local seconds=$1 began=$SECONDS name
  shift
  systemctl stop "${@/#/zfarm-}"
  ((SECONDS - began <= seconds)) || { echo "it took $((SECONDS - began)) s"; return 1; }
  for name; do
    has_stopped "$name"
  done
}

# --- jobs ---

# a_task COMMANDS: what /etc/zfarm/task is; $1 is the task.
a_task() {
  printf '%s\n' '#!/bin/sh' "$1" >/etc/zfarm/task
  chmod 755 /etc/zfarm/task
}

# a_job COUNT [COMMANDS]: so many tasks, each of which does COMMANDS first and then runs until let_go.
a_job() {
  seq "$1" >"$state/tasks"
  a_task "echo \$\$ >>pids; echo \"\$1\" >>begun; ${2:-:}; until [ -e go ]; do sleep 0.05; done; echo \"\$1\""
}

# Tasks that end by themselves after a while, or at once after let_go.
a_slow_job() {
  seq "$1" >"$state/tasks"
  a_task 'echo "$1" >>begun; [ -e go ] || sleep 0.2; echo "$1"'
}

let_go() { touch "$state/go"; }

have_begun() { lines_reach "$state/begun" "$1"; }

have_results() { lines_reach "$state/results" "$1"; }

# The job went on where it was: no task was begun twice.
each_began_once() { same <(sort -n "$state/begun") <(seq "$1"); }

# all_is_well NAME DATABASE COUNT: NAME has ended by itself with a job of COUNT tasks, each of which has its result
# once, and none has failed.
all_is_well() {
  wait_for 60 is_state "$1" inactive
  [[ $(property "$1" Result) == success ]]
  (($(property "$1" ExecMainStatus) == 0))
  has_told "$1" "$3 tasks: $3 ok, 0 failed, 0 lost"
  same <(sort -n "$state/results") <(seq "$3")
  run -0 zfarm verify "$state/$2" "$state/tasks"
}

# The farm of three units has done so, and the worker, which stays, stops.
farm_is_over() {
  all_is_well sink farm.db "$1"
  wait_for 20 is_state ventilator inactive
  (($(property ventilator ExecMainStatus) == 0))
  stops 10 worker
  nothing_runs
}

# a_busy_farm: both slots of its worker are at a task.
a_busy_farm() {
  begin ventilator sink worker
  wait_for 30 have_begun 2
}

# It runs what it was stopped at, and the rest.
worker_goes_on() {
  none_is_left worker
  let_go
  begin worker
  farm_is_over "$1"
}

@test "systemctl stop of a worker with --grace: what does not end in time runs later, and has not failed" {
  a_job 4
  unit worker Environment=ZFARM_JOBS=2 Environment=ZFARM_GRACE=1
  a_busy_farm
  stops 8 worker
  has_told worker 'leaving when what runs is done'
  worker_goes_on 4
}

@test "systemctl stop of a worker with --grace: what ends in time has its result, and runs once" {
  a_job 4
  unit worker Environment=ZFARM_JOBS=2
  a_busy_farm
  start stop systemctl stop zfarm-worker
  has_told worker 'leaving when what runs is done'
  let_go
  ends stop 10 0
  has_stopped worker
  worker_goes_on 4
  each_began_once 4
}

@test "systemctl stop of a worker and its tasks, without --grace: the tasks run later, and have not failed" {
  a_job 4
  unit worker Environment=ZFARM_JOBS=2 UnsetEnvironment=ZFARM_GRACE KillMode=control-group
  a_busy_farm
  stops 5 worker
  worker_goes_on 4
}

@test "systemctl stop of a worker and its tasks, which ignore TERM: --grace has them back before the KILL" {
  a_job 4 "trap '' TERM"
  unit worker Environment=ZFARM_JOBS=2 Environment=ZFARM_GRACE=1 KillMode=control-group TimeoutStopSec=10
  a_busy_farm
  stops 8 worker
  worker_goes_on 4
}

@test "19 stops of a worker in the middle of a task: it has not failed" {
  a_job 1
  unit worker Environment=ZFARM_JOBS=1 Environment=ZFARM_GRACE=0.1 StartLimitBurst=0
  begin ventilator sink
  for i in {1..19}; do # the twentieth would be the last, says docs/timeouts.md
    begin worker
    wait_for 20 have_begun "$i"
    stops 8 worker
  done
  none_is_left worker
  let_go
  begin worker
  wait_for 60 is_state sink inactive
  has_told sink '1 task: 1 ok, 0 failed, 0 lost'
  [[ $(<"$state/results") == 1 ]]
}

# leaves_something KILL-MODE: tasks that are over, and have left somebody behind who holds their output.
leaves_something() {
  seq 2 >"$state/tasks"
  a_task 'sleep 1000 & echo $! >>pids; echo "$1"'
  unit worker Environment=ZFARM_LINGER=0 "KillMode=$1"
  begin ventilator sink worker
  farm_is_over 2
  none_is_left worker
  (($(wc -l <"$state/pids") == 2))
}

@test "what a task has left running behind goes with the worker's unit, at once" {
  leaves_something mixed
  rm "${state:?}"/*
  leaves_something control-group
}

@test "a worker that systemd has to kill loses its tasks, which run again, and none is left running" {
  a_job 4
  unit worker Environment=ZFARM_JOBS=2 UnsetEnvironment=ZFARM_GRACE TimeoutStopSec=2
  a_busy_farm
  systemctl stop zfarm-worker
  [[ $(property worker Result) == timeout ]]
  worker_goes_on 4
}

@test "systemctl stop and start of the ventilator in the middle: the job goes on, and nothing runs twice" {
  a_slow_job 60
  unit worker Environment=ZFARM_JOBS=2
  begin ventilator sink worker
  wait_for 30 have_results 6
  stops 20 ventilator
  none_is_left ventilator
  wait_for 20 told sink 'waiting'
  begin ventilator
  wait_for 60 have_results $(($(wc -l <"$state/results") + 4))
  let_go
  farm_is_over 60
  each_began_once 60
}

@test "systemctl restart of the sink in the middle: the job goes on, and nothing runs twice" {
  a_slow_job 60
  unit worker Environment=ZFARM_JOBS=2
  begin ventilator sink worker
  wait_for 30 have_results 6
  systemctl restart zfarm-sink
  wait_for 60 have_results $(($(wc -l <"$state/results") + 4))
  let_go
  farm_is_over 60
  each_began_once 60
}

@test "all three are stopped at once, as at a reboot, and started again: the job goes on" {
  a_slow_job 60
  unit worker Environment=ZFARM_JOBS=2
  begin ventilator sink worker
  wait_for 30 have_results 6
  stops 20 ventilator sink worker
  nothing_runs
  begin ventilator sink worker
  let_go
  farm_is_over 60
  each_began_once 60
}

@test "systemctl stop of zfarm run, tasks and all: none has failed, nothing is left, started again it goes on" {
  a_job 4
  unit run Environment=ZFARM_JOBS=2
  begin run
  wait_for 30 have_begun 2
  stops 8 run
  nothing_runs
  let_go
  begin run
  all_is_well run run.db 4
  nothing_runs
}

@test "systemctl stop of zfarm run alone: what runs is done, and started again it goes on with the rest" {
  a_slow_job 60
  unit run Environment=ZFARM_JOBS=2 KillMode=mixed
  begin run
  wait_for 30 have_results 6
  stops 8 run
  nothing_runs
  (($(wc -l <"$state/results") < 60))
  let_go
  begin run
  all_is_well run run.db 60
  each_began_once 60
}

@test "zfarm run that systemd has to kill: nothing is left, and started again it goes on" {
  a_job 4 "trap '' TERM"
  unit run Environment=ZFARM_JOBS=2 KillMode=mixed TimeoutStopSec=2
  begin run
  wait_for 30 have_begun 2
  systemctl stop zfarm-run
  [[ $(property run Result) == timeout ]]
  wait_for 10 nothing_runs
  let_go
  begin run
  all_is_well run run.db 4
}

@test "there is nothing to reload, and that changes nothing; a HUP stops, and the unit goes on" {
  a_slow_job 60
  unit run Environment=ZFARM_JOBS=2
  begin run
  wait_for 30 have_results 6
  for unit in ventilator sink worker run; do
    run ! systemctl reload "zfarm-$unit"
  done
  is_state run active
  (($(property run NRestarts) == 0))
  systemctl kill --kill-who main --signal HUP zfarm-run
  restarted() { (($(property run NRestarts) == 1)); }
  wait_for 20 restarted
  let_go
  all_is_well run run.db 60
  each_began_once 60
}

@test "where a task has failed the units have, too, and are not started again; the worker does the next job" {
  seq 4 >"$state/tasks"
  a_task 'echo "$1"; [ "$1" != 3 ]'
  begin ventilator sink worker
  for name in sink ventilator; do
    wait_for 60 is_state "$name" failed
    (($(property "$name" ExecMainStatus) == 1 && $(property "$name" NRestarts) == 0))
  done
  has_told sink '4 tasks: 3 ok, 1 failed, 0 lost'
  is_state worker active
  rm "$state"/{farm.db*,results}
  seq 7 >"$state/tasks"
  a_task 'echo "$1"'
  begin ventilator sink
  farm_is_over 7
}

@test "a sink that cannot start is not tried for ever" {
  echo 'no database' >"$state/farm.db"
  begin sink
  wait_for 60 is_state sink failed
  (($(property sink NRestarts) == 5))
  [[ $(property sink Result) == start-limit-hit ]]
}
