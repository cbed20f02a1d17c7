#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# Workers that err (docs/protocol.md, 15 and 19): whatever one sends, the job ends, or `zfarm why` says what is wrong;
# the worker is told, and so are people. One that errs is a stub (bench/stub) whose messages are spoilt on their way.
# shellcheck disable=SC2016,SC2154 # the quoted variables are the tasks' own; farm.bash sets others
load helpers
load farm

setup_file() {
  [[ -x ${ZFARM_STUB:-} ]] || skip "ZFARM_STUB names no program"
}

# farm_of COUNT [SINK-OPTION...]: a farm without workers, with so many tasks.
farm_of() {
  farm_places
  seq "$1" >tasks
  ventilator tasks
  sink "${@:2}"
}

# erring WAY: a worker that errs so.
erring() { start erring "$ZFARM_STUB" "$control" 1 "$1"; }

# sound: a worker that does not.
sound() { worker sound -j2 --shell 'echo {}'; }

why_says() { zfarm why --connect "$control" >why.out && grep -qE -- "$1" why.out; }

# ends_sound COUNT: all was run by the sound worker, once each.
ends_sound() {
  for name in sink ventilator sound; do ends "$name" 60 0; done
  one_each sink.out "$1"
}

# goes_away: the worker that errs is killed.
goes_away() { kill -KILL "${pid_of[erring]}"; }

@test "a result behind the end of the input does not count: its worker is named, and the job ends as it would" {
  farm_places
  seq 10 >tasks
  held tasks
  ventilator held
  sink
  erring strange=20
  wait_for 30 lines_reach sink.out 10
  wait_for 20 says ventilator.err 'has sent results of tasks that it was never handed, and the sink has taken them: 1'
  wait_for 20 says erring.err 'RESULTS, octet 26: results of tasks that this session was never handed, first of task 20'
  wait_for 20 why_says '1 result was taken from workers that were never handed the task, the first of task 20'
  let_go
  for name in ventilator sink; do ends "$name" 60 0; done
  says sink.err '10 tasks: 10 ok, 0 failed, 0 lost'
  says sink.err '1 results not counted: of tasks that their worker was never handed'
}

@test "a store says which results were never asked for" {
  farm_places
  seq 10 >tasks
  ventilator tasks
  sink --store farm.db
  worker slow -j1 --shell 'echo {}; until [ -e over ]; do sleep 0.02; done'
  wait_for 20 eval "zfarm why --connect $control | grep -q running"
  erring strange=1
  wait_for 20 says ventilator.err 'was never handed, and the sink has taken them'
  : >over
  for name in ventilator sink slow erring; do ends "$name" 60 0; done
  run -0 zfarm verify farm.db
  [[ $output == *"strange: 1, the first is task 1: results of workers that were never handed the task"* ]]
  [[ $output == *"all is there; not all of it was asked for"* ]]
  [[ $(sqlite3 -readonly farm.db 'SELECT group_concat(seq) FROM result WHERE strange') == 1 ]]
  [[ $(sqlite3 -readonly farm.db 'SELECT stdout FROM result WHERE seq = 1') == "made up" ]]
}

@test "with --strict-results they are not taken, the worker is told, and all is run by who was handed it" {
  farm_places
  seq 10 >tasks
  ventilator tasks
  sink --store farm.db --strict-results
  worker slow -j1 --shell 'until [ -e over ]; do sleep 0.02; done; echo {}'
  wait_for 20 eval "zfarm why --connect $control | grep -q running"
  erring strange=1
  wait_for 20 says erring.err 'RESULTS, octet 26: results of tasks that this session was never handed, first of task 1'
  wait_for 20 why_says 'of its messages made no sense; the last: RESULTS, octet 26: results of tasks that'
  says ventilator.err 'results of tasks that this session was never handed, first of task 1'
  : >over
  for name in ventilator sink slow erring; do ends "$name" 60 0; done
  one_each sink.out 10
  says sink.err 'results not counted: of tasks that their worker was never handed'
  run -0 zfarm verify farm.db
  [[ $output != *strange* ]]
}

@test "zfarm run --strict-results" {
  start run zfarm run -k --strict-results -- echo {} ::: a b c
  ends run 60 0
  same run.out <(printf '%s\n' a b c)
}

results_with_a_fault() {
  farm_of 20
  erring "$1"
  wait_for 20 says erring.err 'a message of this worker made no sense (RESULTS, octet'
  says ventilator.err 'a message of worker stub-1@localhost makes no sense and is dropped (RESULTS, octet'
  why_says 'worker stub-1@localhost: [0-9]+ of its messages made no sense; the last: RESULTS'
  goes_away
  sound
  ends_sound 20
}

@test "RESULTS with a trailing octet: its worker is told, and others run its tasks" {
  results_with_a_fault trailing-octet
}

@test "RESULTS of task 0: its worker is told, and others run its tasks" {
  results_with_a_fault task-0
}

@test "RESULTS of another job: its worker is told, and others run its tasks" {
  results_with_a_fault wrong-job
}

@test "FINISHED without results: the tasks are run elsewhere" {
  farm_of 20
  erring no-results
  wait_for 20 why_says 'stub-1'
  sound
  ends_sound 20
  says ventilator.err 'run elsewhere'
}

@test "RECALL without an answer: after the limit the session is over" {
  farm_of 400
  erring no-returned
  wait_for 20 why_says 'sent to stub-1@localhost|[2-9][0-9]*.*running on stub-1@localhost'
  sound
  wait_for 30 says ventilator.err 'does not answer when tasks are asked back (RECALL)'
  goes_away
  ends_sound 400
}

@test "a malformed JOIN is refused with words" {
  farm_of 20
  erring senseless-join
  ends erring 20 255
  says erring.err 'its JOIN makes no sense'
  says ventilator.err 'its JOIN makes no sense'
  sound
  ends_sound 20
}

@test "an old incarnation in each message: it is told, and refused in the end" {
  farm_of 20
  erring old-incarnation
  ends erring 60 255
  says erring.err 'the message is of another incarnation of the ventilator'
  sound
  ends_sound 20
}
