#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# With a store: whoever is killed, nothing is lost or run again, and a job can be taken up later.
# shellcheck disable=SC2016,SC2154 # the quoted variables are the tasks' own; farm.bash sets others
load helpers
load farm

# ran EXPECTED: each of these tasks ran once, says the log that they write.
ran_once() { same <(sort -n log) <(printf '%s\n' "$@"); }

# rows SQL: what sqlite3 says of the store.
rows() { sqlite3 farm.db "$1"; }

complete() {
  local n=$1
  same <(rows 'SELECT count(*), min(seq), max(seq) FROM result') <(echo "$n|1|$n")
  same <(rows 'SELECT total, closed IS NOT NULL FROM job') <(echo "$n|1")
}

@test "an interrupted job goes on where it was, and runs nothing twice" {
  seq 40 >tasks
  start farm zfarm run -j2 -k -o out --store farm.db --shell 'echo {} >>log; sleep 0.1; echo {}' :::: tasks
  wait_for 10 lines_reach log 10
  send INT farm
  ends farm 10 255
  before=$(wc -l <log)
  ((before < 40))
  stored=$(rows 'SELECT count(*) FROM result')
  start farm zfarm run -j2 -k -o out --store farm.db --other-command --shell 'echo {} >>log; echo {}' :::: tasks
  ends farm 20 0
  ran_once {1..40}
  same out tasks
  complete 40
  summary_is farm.err "40 tasks: 40 ok, 0 failed, 0 lost; $stored of them from the store; 1 worker; "
}

@test "a closed store with the same input runs nothing, and ends with its job's status" {
  seq 5 >tasks
  for _ in 1 2; do
    start farm zfarm run -o out --store farm.db --shell 'echo {} >>log; echo {}; [ {} -lt 4 ]' :::: tasks
    ends farm 20 2
    summary_is farm.err '5 tasks: 3 ok, 2 failed, 0 lost'
    ran_once {1..5}
    one_each out 5
  done
}

@test "what failed is run again when that is asked for, and the output is of the last round" {
  seq 5 >tasks
  run_it() { start farm zfarm run -k -o out --joblog jobs --store farm.db --other-command "$@" :::: tasks; }
  run_it --shell 'echo {} >>log; echo {}; [ {} != 2 ] && [ {} != 4 ]'
  ends farm 20 2
  run_it --retry-failed --shell 'echo {} >>log; echo again {}; [ {} != 4 ]'
  ends farm 20 1
  summary_is farm.err '5 tasks: 4 ok, 1 failed, 0 lost'
  same out <(printf '%s\n' 1 'again 2' 3 'again 4' 5)
  ran_once 1 2 2 3 4 4 5
  same <(tail -n +2 jobs | cut -f1 | sort -n) <(printf '%s\n' 1 2 2 3 4 4 5)
  same <(rows 'SELECT seq, status FROM attempt ORDER BY seq') <(printf '2|failed\n4|failed\n')
  run_it --retry-failed --shell 'echo {} >>log; echo at last {}'
  ends farm 20 0
  same out <(printf '%s\n' 1 'again 2' 3 'at last 4' 5)
  run_it --retry-failed --shell 'echo {} >>log; echo never {}'
  ends farm 20 0
  ran_once 1 2 2 3 4 4 4 5
  complete 5
}

@test "a new round is not begun again when its sink is killed" {
  seq 100 >tasks
  start farm zfarm run -o out --store farm.db false :::: tasks
  ends farm 20 100
  start farm zfarm run -j2 -o out --store farm.db --retry-failed --other-command --shell \
    'echo {} >>log; sleep 0.02; exit 1' :::: tasks
  wait_for 10 lines_reach log 50
  kill -KILL "$(child_of farm zfarm-sink)"
  ends farm 30 100
  ran_once {1..100}
}

@test "a longer input goes on, a changed and a shorter one are refused" {
  seq 5 >tasks
  run_it() { start farm zfarm run -k -o out --store farm.db --shell 'echo {} >>log; echo {}' :::: tasks; }
  run_it
  ends farm 20 0
  seq 8 >tasks
  run_it
  ends farm 20 0
  ran_once {1..8}
  same out tasks
  complete 8
  sed -i 's/^3$/three/' tasks
  run_it
  ends farm 20 255
  says farm.err 'task 3 of the input (three) is not the one whose result is stored'
  seq 6 >tasks
  run_it
  ends farm 20 255
  says farm.err 'the input has 6 tasks, and a result of task 8 is stored'
  ran_once {1..8}
}

# meaning FILE: all that a store says, but for what zfarm counts for itself.
meaning() {
  sqlite3 "$1" 'SELECT * FROM result; SELECT * FROM attempt; SELECT * FROM file;
    SELECT job, started, closed, total, not_run, doubled, round, executor, command, command_hash FROM job'
}

@test "a run that is refused changes nothing, and has no summary" {
  seq 5 >tasks
  run_it() {
    start farm zfarm run -k -o out --joblog jobs --store farm.db "$@" --shell 'echo {}; [ {} != 2 ]' :::: tasks
  }
  run_it
  ends farm 20 1
  meaning farm.db >before
  cp out out.before
  cp jobs jobs.before
  sed -i 's/^4$/four/' tasks
  for option in --no-bar --retry-failed; do
    run_it "$option"
    ends farm 20 255
    says farm.err 'task 4 of the input (four) is not the one whose result is stored'
    run ! grep -q ' tasks: ' farm.err
    same <(meaning farm.db) before
    same out out.before
    same jobs jobs.before
    start verify zfarm verify farm.db
    ends verify 20 0
    says verify.out 'closed: yes'
  done
  start farm zfarm run -o other --store farm.db --shell 'echo {}; [ {} != 2 ]' :::: tasks
  ends farm 20 255
  [[ ! -s other ]]
}

@test "another COMMAND is refused, both are shown, and --other-command takes it" {
  start farm zfarm run -k -o out --store farm.db -- echo old {} ::: 1 2
  ends farm 20 0
  meaning farm.db >before
  start farm zfarm run -k -o out --store farm.db -- echo new {} ::: 1 2 3
  ends farm 20 255
  says farm.err "the store farm.db was made by another COMMAND; stored: echo old '{}'; given: echo new '{}'; give"
  same <(meaning farm.db) before
  for other in '--shell echo old {}' '--coprocess cat' '-I % echo old {}'; do
    # shellcheck disable=SC2086 # these are words
    start farm zfarm run -k -o out --store farm.db $other ::: 1 2
    ends farm 20 255
    says farm.err 'by another COMMAND'
  done
  start farm zfarm run -j1 --timeout 60 -k -o out --store farm.db -- echo old {} ::: 1 2 3
  ends farm 20 0
  start farm zfarm run -k -o out --store farm.db --other-command -- echo new {} ::: 1 2 3 4
  ends farm 20 0
  same out <(printf '%s\n' 'old 1' 'old 2' 'old 3' 'new 4')
  same <(rows 'SELECT executor, command FROM job') <(echo "command|echo new '{}'")
  start farm zfarm run -k -o out --store farm.db -- echo new {} ::: 1 2 3 4 5
  ends farm 20 0
}

@test "a COMMAND with which nothing was stored is no other COMMAND" {
  start farm zfarm run --store farm.db ./not-there ::: 1
  ends farm 20 255
  start farm zfarm run --store farm.db echo ::: 1
  ends farm 20 0
}

@test "by hand another COMMAND is a warning; zfarm run knows that it was another one" {
  by_hand() {
    farm_places
    start ventilator zfarm-ventilator --bind "$control" -a tasks
    sink -o out --store farm.db
    worker one "$@"
    ends sink 20 0
    ends ventilator 10 0
    ends one 10 0
  }
  seq 2 >tasks
  by_hand echo one
  seq 4 >tasks
  by_hand echo two
  says sink.err 'the workers run another COMMAND'
  seq 5 >tasks
  start farm zfarm run --store farm.db -a tasks echo three
  ends farm 20 255
  says farm.err 'made by another COMMAND (its text is not stored)'
  start farm zfarm run --store farm.db -a tasks echo two
  ends farm 20 0
}

@test "a job log has its header when its first run was killed before the first result" {
  seq 2 >tasks
  start farm zfarm run --joblog jobs --store farm.db --shell 'echo {} >>log; [ -e go ] || sleep 60' :::: tasks
  wait_for 20 lines_reach log 1
  kill -KILL "${pid_of[farm]}"
  ends farm 5 137
  wait_for 10 nothing_is_marked
  : >go
  start farm zfarm run --joblog jobs --store farm.db --shell 'echo {} >>log; [ -e go ] || sleep 60' :::: tasks
  ends farm 20 0
  same <(head -n 1 jobs | cut -f1) <(echo Seq)
  one_each <(tail -n +2 jobs | cut -f1) 2
}

@test "an output file that is removed, replaced or cut short in mid-run is told of: 255" {
  for damage in 'rm out' ': >out' 'rm out; echo other >out' 'rm jobs'; do
    rm -f go log
    start farm zfarm run -j1 -o out --joblog jobs \
      --shell 'echo {}; echo {} >>log; until [ {} -lt 3 -o -e go ]; do sleep 0.05; done' ::: 1 2 3 4
    wait_for 20 lines_reach log 3
    wait_for 20 lines_reach out 2
    wait_for 20 lines_reach jobs 3
    eval "$damage"
    : >go
    ends farm 30 255
    grep -qE 'zfarm-sink: (out|jobs) was (removed or replaced|cut short)' farm.err
  done
}

@test "an output that was removed after its run is written anew, out of the store" {
  for _ in 1 2; do
    start farm zfarm run -k -o out --store farm.db echo ::: a b
    ends farm 20 0
    same out <(printf 'a\nb\n')
    rm out
  done
}

@test "a damaged store is refused at the start, and by verify" {
  seq 300 >tasks
  start farm zfarm run --store farm.db -a tasks echo a line that takes some room
  ends farm 30 0
  cp farm.db whole.db
  seq 310 >tasks
  for damage in "UPDATE task_result SET status = 'oj' WHERE seq = 7" pages; do
    cp whole.db farm.db
    if [[ $damage == pages ]]; then
      dd if=/dev/urandom of=farm.db bs=512 seek=17 count=8 conv=notrunc status=none
    else
      rows "$damage"
    fi
    start farm zfarm run --store farm.db -a tasks echo a line that takes some room
    ends farm 20 255
    says farm.err 'the store farm.db is damaged: '
    start verify zfarm verify farm.db
    ends verify 20 255
    says verify.err 'the store farm.db is damaged: '
  done
}

@test "a store of the schema before is read by verify, and not gone on with" {
  rows "CREATE TABLE result (seq INTEGER PRIMARY KEY, status, exit, signal, attempts, worker, start, seconds, task,
      hash, stdout, stderr, record);
    CREATE TABLE job (id, job, closed, total, not_run, input_cut, doubled);
    INSERT INTO job VALUES (1, 5, 1.0, 1, 0, 0, 0);
    INSERT INTO result VALUES (1, 'ok', 0, NULL, 1, 'w', 1.0, 1.0, 'a', NULL, '', '', NULL);
    PRAGMA application_id = 2053534317; PRAGMA user_version = 1"
  start farm zfarm run --store farm.db echo ::: a
  ends farm 20 255
  says farm.err 'made by an older zfarm (schema 1, this one has 2)'
}

@test "the sink of zfarm run is killed: another one goes on, in the order of the input" {
  seq 200 >tasks
  start farm zfarm run -j2 -k -o out --store farm.db --shell 'echo {} >>log; sleep 0.01; echo {}' :::: tasks
  wait_for 10 lines_reach log 50
  kill -KILL "$(child_of farm zfarm-sink)"
  ends farm 30 0
  says farm.err 'the sink was killed by signal 9; another one is started'
  same out tasks
  ran_once {1..200}
  complete 200
}

@test "the ventilator of zfarm run is killed: another one reads again, and what runs is kept" {
  seq 200 >tasks
  start farm zfarm run -j2 -o out --store farm.db --shell 'echo {} >>log; sleep 0.01; echo {}' :::: tasks
  wait_for 10 lines_reach log 50
  kill -KILL "$(child_of farm zfarm-ventilator)"
  ends farm 30 0
  says farm.err 'the ventilator was killed by signal 9; another one is started'
  one_each out 200
  ran_once {1..200}
  complete 200
}

@test "started by hand: ventilator and sink are killed and started again, the worker runs on" {
  farm_places
  seq 600 >tasks
  start ventilator zfarm-ventilator --bind "$control" -a tasks
  sink -k -o out --store farm.db
  worker one -j2 --shell 'echo {} >>log; sleep 0.005; echo {}'
  wait_for 10 lines_reach log 100
  send KILL ventilator
  ends ventilator 5 137
  start ventilator zfarm-ventilator --bind "$control" -a tasks
  wait_for 20 lines_reach log 300
  send KILL sink
  ends sink 5 137
  sink -k -o out --store farm.db
  ends sink 30 0
  ends ventilator 10 0
  ends one 10 0
  same out tasks
  ran_once {1..600}
  complete 600
}

@test "a sink that is stopped and started again goes on with a ventilator, and ends with words without one" {
  farm_places
  seq 200 >tasks
  ventilator_of_tasks() { start ventilator zfarm-ventilator --bind "$control" -a tasks; }
  ventilator_of_tasks
  sink -k -o out --store farm.db
  worker one -j2 --shell 'echo {} >>log; sleep 0.05; echo {}'
  wait_for 20 lines_reach log 20
  send TERM sink
  for name in sink ventilator one; do ends "$name" 20 255; done
  says ventilator.err 'the sink was asked to stop'
  says one.err 'was interrupted'
  sink -k -o out --store farm.db --give-up 2
  ends sink 20 255
  says sink.err 'for 2 s, and the job of the store was stopped before its end: with one it goes on'
  sink -k -o out --store farm.db
  ventilator_of_tasks
  worker one -j2 --shell 'echo {} >>log; echo {}'
  for name in sink ventilator one; do ends "$name" 30 0; done
  same out tasks
  ran_once {1..200}
  complete 200
}

@test "without a store a sink that is stopped ends the job, and the next one ends with words, not with 0" {
  farm_places
  seq 200 >tasks
  ventilator tasks
  sink
  worker one -j2 --shell 'echo {} >>log; sleep 0.05; echo {}'
  wait_for 20 lines_reach log 20
  send TERM sink
  for name in sink ventilator one; do ends "$name" 20 255; done
  sink --give-up 2
  ends sink 20 255
  says sink.err 'no ventilator'
}

@test "a torn output is cut back to what is stored, and completed" {
  seq 100 >tasks
  start farm zfarm run -j2 -o out --joblog log.txt --store farm.db --shell 'echo {} >>log; sleep 0.02; echo {}' \
    :::: tasks
  wait_for 10 lines_reach log 30
  kill -KILL "${pid_of[farm]}"
  ends farm 5 137
  wait_for 5 nothing_is_marked
  echo torn >>out
  echo torn >>log.txt
  start farm zfarm run -j2 -o out --joblog log.txt --store farm.db --other-command --shell 'echo {}' :::: tasks
  ends farm 30 0
  one_each out 100
  one_each <(tail -n +2 log.txt | cut -f1) 100
  complete 100
}

@test "an output that was not there before gets what was stored before" {
  seq 20 >tasks
  start farm zfarm run -k -o out --store farm.db -a tasks echo
  ends farm 20 0
  for format in text jsonl; do
    start farm zfarm run -k -o "other.$format" --format "$format" --store farm.db -a tasks echo
    ends farm 20 0
  done
  same other.text tasks
  same <(jq -r '.task' other.jsonl) tasks
  same <(jq -cr '[.seq, .status, .exit, .attempts, .stdout]' other.jsonl | head -n 1) \
    <(printf '%s\n' '[1,"ok",0,1,"1\n"]')
}

@test "failed tries are kept, and people can query it all" {
  start farm zfarm run --retries 3 --store farm.db \
    --shell 'echo out{}; echo err >&2; [ {} = a -o $ZFARM_ATTEMPT = 3 ]' ::: a b
  ends farm 20 0
  same <(rows 'SELECT seq, status, exit, attempts, task, stdout, stderr FROM result') \
    <(printf '1|ok|0|1|a|outa\n|err\n\n2|ok|0|3|b|outb\n|err\n\n')
  same <(rows 'SELECT seq, attempt, status, exit FROM attempt ORDER BY attempt') \
    <(printf '2|1|failed|1\n2|2|failed|1\n')
  same <(rows 'SELECT count(*) FROM failed') <(echo 0)
}

@test "a store that is in use, or is none, is refused with words" {
  farm_places
  sink --store farm.db
  wait_for 10 test -s farm.db
  start second zfarm-sink --connect "$control" --bind "tcp://127.0.0.1:$(free_ports 1)" --store farm.db
  ends second 10 255
  says second.err 'the store farm.db is in use by another sink'
  echo 'this is a text and no database, long enough to be looked at' >text
  start farm zfarm run --store text echo ::: 1
  ends farm 20 255
  says farm.err 'text is no store of zfarm'
}

@test "a full disk under the store is told, and the run goes on when there is room" {
  mkdir small
  unshare -rm true || skip "no mount namespaces here"
  start run unshare -rm bash -c 'mount -t tmpfs -o size=400k none small || exit 99
    head -c 200K /dev/zero >small/ballast
    zfarm run -j1 --store small/farm.db --shell "head -c 30000 /dev/zero | tr \"\\0\" x; echo" ::: {1..20} >out 2>err &
    while ! grep -qs "cannot write to the store" err; do sleep 0.02; done
    mount -o remount,size=8m small; rm small/ballast; wait $!; status=$?
    sqlite3 small/farm.db "SELECT count(*) FROM result" >count; exit $status'
  ends run 30 0
  says err 'there is room again'
  same count <(echo 20)
  (($(wc -l <out) == 20))
}

# is_reaped: the stand-in for the ventilator has ended, and zfarm knows.
is_reaped() { [[ -s pid && ! -e /proc/$(<pid) ]]; }

# fake_farm: `zfarm` beside three stand-ins, whose sink is killed after the ventilator has ended well.
fake_farm() {
  mkdir fake
  cp "$(command -v zfarm)" fake
  mkfifo sink_is_there ventilator_is_gone
  printf '#!/bin/sh\necho $$ >pid\necho >&3\nread line <sink_is_there\nexit 3\n' >fake/zfarm-ventilator
  printf '#!/bin/sh\n(echo >&3) 2>/dev/null\nexec sleep 60\n' >fake/zfarm-worker
  printf '#!/bin/sh\necho >&3\necho >sink_is_there\nread line <ventilator_is_gone\nkill -KILL $$\n' >fake/zfarm-sink
  chmod +x fake/*
}

@test "a sink that is killed after the goodbye is not started again: the job is over, with its status" {
  fake_farm
  start farm fake/zfarm run --store farm.db echo ::: 1
  wait_for 10 is_reaped
  echo >ventilator_is_gone
  ends farm 10 3
  run ! grep -q 'another one' farm.err
}
