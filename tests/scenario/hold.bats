#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# ^Z: zfarm run stops, its tasks are stopped, nothing is handed out and nothing drawn; CONT, as of fg, and all goes on.
# shellcheck disable=SC2016,SC2154 # the quoted variables are the tasks' own; helpers.bash sets pid_of
load helpers

# state_of PID: the letter of its state, T: stopped.
state_of() { sed 's/.*) //; s/ .*//' "/proc/$1/stat"; }
is_stopped() { [[ $(state_of "$1") == T ]]; }

# The processes of the task whose first one wrote its number into the file task: they have its session.
task_processes() { ps -o pid= -s "$(<task)"; }

# all_stopped, all_go_on: each of two processes or more is in state T, or none is.
all_stopped() {
  local pid pids
  mapfile -t pids < <(task_processes)
  ((${#pids[@]} >= 2)) || return
  for pid in "${pids[@]}"; do
    is_stopped "${pid// /}" || return
  done
}
all_go_on() {
  local pid pids
  mapfile -t pids < <(task_processes)
  ((${#pids[@]} >= 2)) || return
  for pid in "${pids[@]}"; do
    is_stopped "${pid// /}" && return 1
  done
  return 0
}

@test "TSTP stops zfarm run and its task, hands out nothing, and CONT goes on" {
  start farm zfarm run -j1 --timeout 20 --shell 'echo $$ >task; sleep 300 >/dev/null 2>&1 & echo {} >>log
    until [ -e go ]; do sleep 0.2; done; kill $!; echo {}' ::: 1 2 3
  wait_for 20 lines_reach log 1
  send TSTP farm
  wait_for 10 is_stopped "${pid_of[farm]}"
  wait_for 10 all_stopped
  touch go
  sleep 3 # it would end, and the next one begin
  all_stopped
  (($(wc -l <log) == 1))
  rm go
  send CONT farm
  wait_for 10 all_go_on
  touch go
  ends farm 40 0
  sort farm.out | same - <(seq 3)
}

@test "nothing is drawn while it is stopped, and it ends when it is told to before it goes on" {
  start farm zfarm run -j1 --bar --shell 'echo $$ >task; echo {} >>log; sleep 300' ::: 1 2 3
  wait_for 20 lines_reach log 1
  send TSTP farm
  wait_for 10 is_stopped "${pid_of[farm]}"
  local size
  size=$(stat -c %s farm.err)
  sleep 1
  (($(stat -c %s farm.err) == size))
  send TERM farm
  send CONT farm
  wait_for 10 says farm.err 'stopping: what runs may finish'
  send_again TERM farm
  ends farm 20 255
}

@test "^Z in a terminal, then fg" {
  command -v script >/dev/null || skip "script of util-linux is not here"
  mkfifo keys
  start_reading keys terminal script -qec 'bash -m -c "
    zfarm run -j1 --shell \"echo {} >>log; sleep 0.3; echo task-{}\" ::: 1 2 3 4
    touch stopped; until [ -e go ]; do sleep 0.05; done; wc -l <log >before; fg; echo ended-\$?"' typescript
  exec 4>keys
  wait_for 20 lines_reach log 1
  printf '\032' >&4
  wait_for 20 test -e stopped
  touch go
  wait_for 30 says typescript 'ended-0'
  exec 4>&-
  grep -q task-4 typescript
}

@test "a task at the time of the stop is not charged for it: --timeout" {
  start farm zfarm run -j1 --timeout 4 --shell 'echo {} >>log; for i in 1 2 3 4 5; do sleep 0.2; done
    echo {}' ::: 1
  wait_for 20 lines_reach log 1
  send TSTP farm
  wait_for 10 is_stopped "${pid_of[farm]}"
  sleep 5
  send CONT farm
  ends farm 30 0
}
