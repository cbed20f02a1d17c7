#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# Jobs that end early (--halt), and tries that wait (--retry-delay).
# shellcheck disable=SC2016,SC2154 # the quoted variables are the tasks' own; farm.bash sets others
load helpers
load farm

@test "--halt now,fail=1 kills what runs, and ends with the status of the task that failed" {
  start farm zfarm run -j3 --halt now,fail=1 --joblog log.txt --shell \
    'echo {} >>log; [ {} = 3 ] || exec sleep 300; until [ $(wc -l <log) = 3 ]; do sleep 0.02; done; exit 42' \
    ::: {1..9}
  ends farm 10 42
  # How many had been numbered by then is chance.
  grep -qE '^[3-9] tasks: 0 ok, 1 failed, 0 lost, [2-8] not run; 1 worker; .*; halted by task 3' farm.err
  says farm.err 'halted by task 3: nothing more is begun, and what runs is killed'
  same <(tail -n +2 log.txt | cut -f1,7) <(printf '3\t42\n')
  wait_for 5 nothing_is_marked
}

# counts FILE: the numbers of the summary, as the variables ok, failed and not_run.
counts() {
  [[ $(tail -n 1 "$1") =~ \ ([0-9]+)\ ok,\ ([0-9]+)\ failed,\ 0\ lost(,\ ([0-9]+)\ not\ run)? ]] || return
  ok=${BASH_REMATCH[1]} failed=${BASH_REMATCH[2]} not_run=${BASH_REMATCH[4]:-0}
}

@test "--halt soon lets what runs finish, and its results count" {
  mkfifo go
  start farm zfarm run -j2 --halt soon,fail=1 --shell \
    'echo {} >>log; [ {} = 1 ] && { read -r x <go; echo done; exit; }; sleep 0.1; [ {} != 2 ] || exit 7' ::: {1..50}
  wait_for 10 says farm.err 'halted by task 2: nothing more is begun, and what runs may finish'
  is_running farm
  echo >go
  ends farm 10 7
  same farm.out <(echo 'done')
  counts farm.err
  ((ok == $(wc -l <log) - 1 && failed == 1 && ok < 20))
}

# as_parallel STATUS HALT COMMAND VALUE...: both end with it, one task at a time.
as_parallel() {
  local status=$1
  shift
  start theirs parallel --will-cite -j1 --halt "$1" "$2" ::: "${@:3}"
  ends theirs 20 "$status"
  start ours zfarm run -j1 --halt "$1" --shell "$2" ::: "${@:3}"
  ends ours 20 "$status"
}

@test "the exit status is that of GNU parallel" {
  command -v parallel || skip "GNU parallel is not here"
  as_parallel 3 now,fail=1 'exit {}' 0 3 4
  as_parallel 137 soon,fail=1 'kill -9 $$ {}' 0
  as_parallel 2 soon,fail=2 'exit {}' 7 0 8 0
  as_parallel 0 now,success=1 'exit {}' 7 8 0 9
  as_parallel 7 now,done=1 'exit {}' 7 0
  as_parallel 67 soon,fail=50% 'exit {}' 7 8 0
  as_parallel 34 soon,fail=99% 'exit {}' 7 0 0
  as_parallel 7 20% 'exit {}' 7 0 0 0 0
  as_parallel 1 never 'exit {}' 7 0
}

@test "a percentage is one of all tasks, also when the input has to be read to know how many" {
  seq 100 >tasks
  start farm zfarm run -j1 --halt now,done=40% --shell '[ {} -lt 41 ] || exec sleep 300; [ {} -gt 30 ]' :::: tasks
  ends farm 30 30
  summary_is farm.err '100 tasks: 10 ok, 30 failed, 0 lost, 60 not run'
  says farm.err '; halted by task 40'
}

@test "a failed try that is tried again does not halt anything, and its retry is not waited for" {
  start farm zfarm run -j1 --halt now,fail=1 --retries 3 --shell 'echo {} >>log; [ {} -gt 1 ]' ::: 1 2 3
  ends farm 10 1
  (($(grep -cx 1 log) == 3))
  rm log
  start farm zfarm run -j1 --halt now,success=1 --retries 3 --retry-delay 1h --shell \
    '[ {} -lt 3 ] || exec sleep 300; [ {} = 2 ]' ::: 1 2 3
  ends farm 10 0
  summary_is farm.err '3 tasks: 1 ok, 0 failed, 0 lost, 2 not run'
}

@test "a halted job with a store goes on with what was not run" {
  seq 12 >tasks
  run_it() {
    start farm zfarm run -j1 -k -o out --store farm.db --halt now,fail=1 --shell \
      '[ $(({} % 4)) != 1 ] || sleep 1; echo {} >>log; [ $(({} % 4)) != 0 ] || exit 9; echo {}' :::: tasks
    ends farm 20 "$1"
  }
  for at in 4 8 12; do
    run_it 9
    says farm.err "; halted by task $at"
    one_each log "$at"
  done
  run_it 3 # all is stored: the status of the whole job
  one_each log 12
  same out <(seq 12 | awk '$1 % 4')
}

@test "by hand: the workers of a halted job leave in peace, ventilator and sink with its status" {
  farm_places
  ventilator <(seq 1000)
  sink --halt now,fail=1
  worker one -j1 --shell 'exec sleep 300'
  # Only its first task fails: the next one may have begun when the halt comes.
  worker two -j1 --shell 'until [ -e go ]; do sleep 0.02; done; mkdir first && exit 5; exec sleep 300'
  wait_for 10 has_child one sleep
  touch go
  ends sink 10 5
  ends ventilator 10 5
  ends one 10 0
  ends two 10 0
  counts sink.err
  ((ok == 0 && failed == 1 && not_run > 0))
  says sink.err '; 2 workers; '
}

@test "a --halt that is none is refused with words" {
  start farm zfarm run --halt now,lost=1 echo ::: 1
  ends farm 5 255
  says farm.err "--halt: 'now,lost=1' is not one of its values: it takes never, or now or soon"
}

# gaps: the times between the lines of the log, in ms.
gaps() { awk 'NR > 1 { printf "%d\n", ($1 - last) * 1000 } { last = $1 }' log; }

@test "--retry-delay waits before each further try, twice as long, while others run" {
  start farm zfarm run -j2 --retries 3 --retry-delay 0.4 --shell \
    '[ {} != 1 ] || { date +%s.%N >>log; [ $ZFARM_ATTEMPT = 3 ]; }' ::: {1..20}
  ends farm 20 0
  summary_is farm.err '20 tasks: 20 ok, 0 failed, 0 lost'
  mapfile -t ms < <(gaps)
  echo "waited ${ms[*]} ms"
  ((${#ms[@]} == 2 && ms[0] >= 200 && ms[0] < 2000 && ms[1] >= 400 && ms[1] < 4000))
}

@test "a ventilator says that it waits for a retry, and until when; a TERM does not wait for it" {
  farm_places
  ventilator <(echo x) --retries 2 --retry-delay 1h
  sink
  worker one -j1 --shell 'exit 3'
  wait_for 10 says ventilator.err 'task 1: failed and waiting for the next try (--retry-delay), the first'
  send TERM ventilator
  ends sink 10 255
  ends ventilator 10 255
  summary_is sink.err '1 task: 0 ok, 0 failed, 0 lost, 1 not run'
}

@test "a failed task goes to another worker" {
  farm_places
  mkfifo tasks
  start feeder bash -c 'waits() { until [[ -e $1 ]]; do sleep 0.02; done; }
    exec >tasks; waits go; echo x; waits end'
  ventilator tasks --retries 2
  sink --bar
  worker one -j1 --shell 'echo one >>log; exit 3'
  worker two -j1 --shell 'echo two >>log; exit 3'
  wait_for 10 workers_are 2
  touch go
  wait_for 10 lines_reach log 2
  touch end
  ends sink 10 1
  same <(sort log) <(printf 'one\ntwo\n')
}
