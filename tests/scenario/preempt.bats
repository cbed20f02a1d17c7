#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# Whoever owns a machine takes it back: signals that reach a worker and its tasks together, and a worker
# that has so long to leave and no longer.
# shellcheck disable=SC2016,SC2154 # the quoted variables are the tasks' own; farm.bash sets others
load helpers
load farm

# As long as there is no file `go` it runs until it is ended. The shell itself is what is signaled.
task='echo $$ >>pids; echo {} >>begun; while [ ! -e go ]; do sleep 0.05; done; echo {}'

# preempted_farm WORKER_OPTION...: a farm with two tasks, both of which run at the worker `one`.
preempted_farm() {
  farm_places
  rm -f pids begun go sink.* one.* two.*
  ventilator <(seq 2)
  sink
  worker one -j2 "$@" --shell "$task"
  wait_for 10 lines_reach begun 2
}

# alters_task COMMAND: it does that first.
alters_task() { task="$1; $task"; }

signal_tasks() { xargs kill -s "$1" <pids; }

# others_run_them SUMMARY: another worker comes, and the job ends well.
others_run_them() {
  touch go
  worker two -j2 --shell "$task"
  ends sink 10 0
  ends ventilator 10 0
  ends two 10 0
  one_each sink.out 2
  summary_is sink.err '2 tasks: 2 ok, 0 failed, 0 lost;'
}

for_each_signal() {
  local signal
  for signal in TERM INT HUP XCPU; do
    echo "--- $signal"
    "$@" "$signal" || return
  done
}

worker_first() {
  preempted_farm
  mapfile -t all <pids
  kill -s "$1" "${pid_of[one]}" "${all[@]}"
  ends one 10 0
  others_run_them
}

tasks_first() {
  preempted_farm
  mapfile -t all <pids
  kill -s "$1" "${all[@]}" "${pid_of[one]}"
  ends one 10 0
  others_run_them
}

@test "a worker and its tasks are signaled together, the worker first: the tasks run elsewhere" {
  for_each_signal worker_first
}

@test "a worker and its tasks are signaled together, the tasks first: the tasks run elsewhere" {
  for_each_signal tasks_first
}

@test "tasks that are killed just before their worker is told to leave run elsewhere" {
  preempted_farm
  mapfile -t all <pids
  kill -s KILL "${all[@]}" && kill -s TERM "${pid_of[one]}"
  ends one 10 0
  others_run_them
}

@test "a task that handles its TERM and ends with 143 runs elsewhere" {
  alters_task "trap 'exit 143' TERM"
  worker_first TERM
}

@test "a task alone that gets a TERM has failed" {
  preempted_farm
  kill -TERM "$(head -n 1 pids)"
  touch go
  ends sink 10 1
  summary_is sink.err '2 tasks: 1 ok, 1 failed, 0 lost;'
  says sink.err 'failed: it was ended by SIGTERM'
  ends one 10 0
}

@test "a task that crashes in a worker that leaves has failed" {
  preempted_farm
  send TERM one
  wait_for 5 says one.err 'leaving when what runs is done'
  signal_tasks SEGV
  ends one 10 0
  ends sink 10 2
  summary_is sink.err '2 tasks: 0 ok, 2 failed, 0 lost;'
  ends ventilator 10 2
}

@test "only a second TERM a second later kills what runs, and charges nothing" {
  preempted_farm
  for signal in TERM TERM INT HUP XCPU; do
    send "$signal" one
  done
  wait_for 5 says one.err 'leaving when what runs is done'
  run -1 wait_for 1 has_ended one
  send XCPU one
  send HUP one
  run -1 wait_for 0.3 has_ended one
  send TERM one
  ends one 5 255
  says one.err 'interrupted: killed what ran in 2 of 2 slots'
  wait_for 5 tasks_are_gone
  others_run_them
}

tasks_are_gone() { ! xargs kill -0 <pids 2>/dev/null; }

@test "what runs on when the grace is over is ended and runs elsewhere, uncharged" {
  preempted_farm --grace 0.3
  send TERM one
  ends one 5 0
  tasks_are_gone
  for i in 2 3 4; do # as many deaths would have made them lost
    worker "one$i" -j1 --grace 0.3 --shell "$task"
    wait_for 10 lines_reach begun $((i + 1))
    send TERM "one$i"
    ends "one$i" 5 0
  done
  tasks_are_gone
  others_run_them
}

@test "with --grace also what heeds no TERM is gone in time" {
  alters_task "trap '' TERM"
  preempted_farm --grace 0.3 --kill-after 100
  send TERM one
  ends one 5 0
  tasks_are_gone
  others_run_them
}

@test "with --grace a task that ends in time has its result" {
  preempted_farm --grace 20
  send TERM one
  wait_for 5 says one.err 'leaving when what runs is done'
  touch go
  ends one 10 0
  ends sink 10 0
  one_each sink.out 2
  ends ventilator 10 0
}

@test "a coprocess that is interrupted at a line gives the task back" {
  farm_places
  ventilator <(seq 2)
  sink
  worker one -j2 --coprocess -- bash -c 'while read -r x; do echo $$ >>pids; echo >>begun
    until [ -e go ]; do sleep 0.05; done; echo "$x"; done'
  wait_for 10 lines_reach begun 2
  mapfile -t all <pids
  kill -s TERM "${all[@]}" "${pid_of[one]}"
  ends one 10 0
  others_run_them
}

@test "a task that takes its workers with it is lost after twenty of them" {
  farm_places
  ventilator <(seq 1)
  sink
  for i in {1..20}; do
    worker "w$i" -j1 --shell 'kill -TERM $PPID; kill -TERM $$'
    ends "w$i" 10 0
  done
  ends sink 10 1
  summary_is sink.err '1 task: 0 ok, 0 failed, 1 lost;'
  says sink.err 'it was interrupted each time by a signal that made its worker leave'
  ends ventilator 10 1
}

@test "zfarm run, all of whose processes get a TERM, has no failed task and goes on" {
  start farm zfarm run --store jobs.db -j2 --shell "$task" ::: 1 2 3
  wait_for 10 lines_reach begun 2
  mapfile -t all < <(marked_processes)
  kill -TERM "${all[@]}"
  ends farm 10 255
  touch go
  zfarm run --store jobs.db -j2 --shell "$task" ::: 1 2 3 >out 2>err
  one_each out 3
  run -0 zfarm verify jobs.db
}
