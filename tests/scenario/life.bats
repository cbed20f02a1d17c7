#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# Workers, sink and ventilator come, go, freeze and are killed; every task has its one result.
# shellcheck disable=SC2016,SC2154 # the quoted variables are the tasks' own; farm.bash sets others
load helpers
load farm

@test "the sink before the ventilator, a worker before the ventilator" {
  farm_places
  seq 50 >tasks
  sink
  worker one -j2 -- echo
  wait_for 10 has_child one zfarm-worker
  ventilator tasks
  ends sink 30 0
  ends ventilator 30 0
  ends one 30 0
  one_each sink.out 50
}

@test "TERM drains a worker: it finishes what runs and hands back the rest" {
  farm_places
  seq 60 >tasks
  ventilator tasks
  sink --format jsonl
  worker early -j1 --shell 'echo {} >>early.log; sleep 0.05; echo {}'
  wait_for 10 lines_reach early.log 5
  send TERM early
  ends early 10 0
  ran=$(wc -l <early.log)
  ((ran < 50))
  worker late -j2 -- echo
  ends sink 30 0
  ends ventilator 30 0
  ends late 30 0
  one_each <(jq -r .task sink.out) 60
  # Nothing that the early one had begun ran a second time.
  (($(jq -r 'select(.worker == "early") | .task' sink.out | wc -l) == ran))
}

@test "all workers go, killed or drained, and others come" {
  farm_places
  seq 200 >tasks
  ventilator tasks
  sink
  worker one -j1 --shell 'echo {} >>log; sleep 0.02; echo {}'
  worker two -j1 --shell 'echo {} >>log; sleep 0.02; echo {}'
  wait_for 10 lines_reach log 20
  send KILL one
  send TERM two
  ends one 10 137
  ends two 10 0
  worker three -j2 -- echo
  ends sink 30 0
  ends ventilator 30 0
  one_each sink.out 200
}

@test "a worker that stays works for two jobs in a row" {
  farm_places
  seq 30 >tasks
  worker stays --stay -j2 -- echo
  for _ in 1 2; do
    ventilator tasks
    sink
    ends sink 30 0
    ends ventilator 30 0
    one_each sink.out 30
  done
  is_running stays
  send TERM stays
  ends stays 10 0
}

@test "one of four workers is killed: 400 results, none twice, its tasks elsewhere within 1 s" {
  farm_places
  seq 400 >tasks
  ventilator tasks
  sink
  for name in one two three; do
    worker "$name" -j1 --shell 'echo {} >>log; sleep 0.01; echo {}'
  done
  worker killed -j1 --shell 'echo {} >>log; echo {} >>killed.log; exec sleep 300'
  wait_for 10 lines_reach killed.log 1
  wait_for 10 lines_reach log 100
  task=$(<killed.log)
  send KILL killed
  ran_twice() { (($(grep -cx "$task" log) == 2)); }
  wait_for 5 ran_twice
  no_sleeper() { ! marked_processes | xargs -I% cat /proc/%/cmdline 2>/dev/null | grep -qa 'sleep.300'; }
  wait_for 5 no_sleeper
  ends killed 5 137
  ends sink 60 0
  ends ventilator 30 0
  one_each sink.out 400
  summary_is sink.err '400 tasks: 400 ok, 0 failed, 0 lost'
}

@test "a worker frozen for longer than the limit comes back: all results, none twice" {
  farm_places
  seq 100 >tasks
  ventilator tasks --heartbeat 0.1
  sink
  worker one -j1 --shell 'echo {} >>log; sleep 0.03; echo {}'
  worker frozen -j1 --shell 'echo {} >>frozen.log; sleep 0.03; echo {}'
  wait_for 10 lines_reach frozen.log 5
  send STOP frozen
  # The other one does all there is but what the frozen one has ready: longer than the limit.
  wait_for 20 lines_reach log 80
  send CONT frozen
  ends sink 30 0
  ends ventilator 30 0
  one_each sink.out 100
}

@test "a killed sink without a store ends the ventilator with 255 and words" {
  farm_places
  seq 100000 >tasks
  ventilator tasks --give-up 2
  sink
  worker one -j1 --give-up 2 -- echo
  wait_for 10 lines_reach sink.out 20
  send KILL sink
  ends ventilator 15 255
  [[ -s ventilator.err ]]
  ends one 15 255
}

@test "a sink that is not taken leaves the output as it is, one that is empties what was there before" {
  farm_places
  seq 200 >tasks
  held tasks
  ventilator held
  echo before >out
  start sink zfarm-sink --connect "$control" --bind "$results" -o out --joblog log --bar
  worker one -j1 -- echo
  wait_for 30 lines_reach out 200
  cp out out.of.first
  cp log log.of.first
  run -255 --separate-stderr timeout 20 zfarm-sink --connect "$control" --bind "${results%:*}:$(free_ports 1)" \
    -o out --joblog log
  [[ $stderr == *refused* ]]
  same out out.of.first
  same log log.of.first
  let_go
  for name in sink ventilator one; do ends "$name" 20 0; done
  one_each out 200
  echo before >none
  zfarm run -o none -- echo </dev/null
  same none /dev/null
}

@test "a killed ventilator ends sink and workers with 255 and words" {
  farm_places
  seq 100000 >tasks
  ventilator tasks
  sink --give-up 2
  worker one -j1 --give-up 2 -- echo
  wait_for 10 lines_reach sink.out 20
  send KILL ventilator
  ends ventilator 5 137
  ends sink 15 255
  ends one 15 255
  [[ -s sink.err && -s one.err ]]
}

@test "the sink of zfarm run is killed: it ends at once with 255 and words" {
  start farm zfarm run -j2 --shell 'echo {} >>log; sleep 0.05' :::: <(seq 2000)
  wait_for 10 lines_reach log 5
  kill -KILL "$(child_of farm zfarm-sink)"
  ends farm 5 255
  says farm.err 'the sink was killed by signal 9'
}

@test "zfarm run is killed: its programs and what they run end with it" {
  start farm zfarm run -j2 --shell 'echo {} >>log; sleep 300' ::: 1 2 3
  wait_for 10 lines_reach log 2
  send KILL farm
  ends farm 5 137
  wait_for 5 nothing_is_marked
}

@test "the worker of zfarm run is killed: another one is started, all results" {
  seq 100 >tasks
  start_reading tasks farm zfarm run -j2 --shell 'echo {} >>log; sleep 0.02; echo {}'
  wait_for 10 lines_reach log 20
  kill -KILL "$(child_of farm zfarm-worker)"
  ends farm 30 0
  one_each farm.out 100
  says farm.err 'another one is started'
}

@test "a task that takes three workers down with it is lost, and they are named" {
  farm_places
  echo poison >tasks
  ventilator tasks
  sink --format jsonl
  for name in one two three; do
    worker "$name" -j1 --shell 'kill -KILL $PPID; exec sleep 300; : {}'
  done
  ends sink 30 1
  ends ventilator 5 1
  summary_is sink.err '1 task: 0 ok, 0 failed, 1 lost'
  host=$(uname -n)
  [[ $(jq -r .status sink.out) == lost ]]
  jq -r .stderr sink.out | sed 's/.*: //; s/, /\n/g' | sed '/^$/d' | sort >names
  same names <(printf '%s\n' "one@$host" "three@$host" "two@$host")
  wait_for 5 nothing_is_marked
}

@test "what a run that was killed has left in TMPDIR is removed by the next, and that of one that lives is not" {
  start alive zfarm run -- sh -c 'echo >begun; sleep 300' ::: 1
  wait_for 10 test -s begun
  rm begun
  start killed zfarm run --direct "$(free_ports 3)" --host : -- sh -c 'echo >begun; sleep 300' ::: 1
  wait_for 10 test -s begun
  send KILL killed
  local left=(zfarm-"${pid_of[killed]}"-*)
  ends killed 5 137
  [[ -d ${left[0]} ]]
  touch -d '1 minute ago' zfarm-*/
  wait_for 10 gone_by_a_run "${left[0]}"
  [[ -d $(echo zfarm-"${pid_of[alive]}"-*) ]]
  send TERM alive
  wait_for 10 says alive.err 'stopping: '
  send_again TERM alive
  ends alive 10 255
}

# gone_by_a_run DIRECTORY: a run removes it, when the last program of the killed one has ended.
gone_by_a_run() {
  zfarm run -- true ::: 1 2>/dev/null
  [[ ! -e $1 ]]
}
