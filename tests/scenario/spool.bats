#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# --spool: piped input that outlives the ventilator, and zfarm itself.
# shellcheck disable=SC2016,SC2154 # the quoted variables are the tasks' own; helpers.bash sets pid_of
load helpers
load farm

# from_pipe NAME SCRIPT: what SCRIPT prints comes out of the FIFO `pipe`, and ends when it does.
from_pipe() {
  [[ -e pipe ]] || mkfifo pipe go
  start "$1" bash -c 'exec >pipe; eval "$1"' feeder "$2"
}

# run_from FILE [OPTION...] COMMAND: each task's number goes to `log`, and COMMAND is run.
run_from() {
  local file=$1
  shift
  start_reading "$file" farm zfarm run -j2 -k -o out --store farm.db --spool kept \
    "${@:1:$#-1}" --shell "echo {} >>log; ${*: -1}"
}

ran_once() { same <(sort -n log) <(seq "$1"); }

# stored COUNT: so many results are in the store (so far).
stored() { (($(sqlite3 -readonly farm.db 'SELECT count(*) FROM result') == $1)); }

complete() {
  same <(sqlite3 farm.db 'SELECT count(*), min(seq), max(seq) FROM result') <(echo "$1|1|$1")
  same <(sqlite3 farm.db 'SELECT total, closed IS NOT NULL FROM job') <(echo "$1|1")
}

# farm_is_killed: zfarm run, by signal 9; its programs follow it.
farm_is_killed() {
  kill -KILL "${pid_of[farm]}"
  ends farm 5 137
  wait_for 5 programs_are_gone
}

programs_are_gone() {
  local pid
  for pid in $(marked_processes); do
    [[ $(readlink "/proc/$pid/exe") != */zfarm-* ]] || return 1
  done
}

@test "piped input runs as it comes, and the spool is removed when the job is over" {
  from_pipe feeder 'seq 3; read -r <go; seq 4 2000'
  run_from pipe 'echo {}'
  wait_for 10 lines_reach log 3
  [[ -s kept/input && ! -e kept/end ]]
  echo >go
  ends farm 60 0
  ran_once 2000
  same out <(seq 2000)
  [[ ! -e kept ]]
}

@test "the ventilator is killed while the producer still writes: nothing is lost or run again" {
  from_pipe feeder 'seq 100; read -r <go; for i in {101..200}; do echo $i; sleep 0.005; done'
  run_from pipe 'sleep 0.01; echo {}'
  wait_for 10 lines_reach log 50
  kill -KILL "$(child_of farm zfarm-ventilator)"
  wait_for 10 says farm.err 'the ventilator was killed by signal 9; another one is started'
  echo >go
  wait_for 20 lines_reach log 130
  kill -KILL "$(child_of farm zfarm-ventilator)"
  ends farm 30 0
  ran_once 200
  same out <(seq 200)
  complete 200
}

@test "zfarm is killed: its input is cut off, and goes on when it is given again" {
  from_pipe feeder 'seq 100; printf 10; read -r <go'
  run_from pipe 'sleep 0.01; echo {}'
  wait_for 20 lines_reach log 100
  wait_for 10 stored 100
  farm_is_killed
  echo >go
  ends feeder 5 0
  ran_once 100
  same kept/input <(seq 100; printf 10)
  for file in /dev/null empty; do
    : >empty
    run_from "$file" --other-command 'echo {}'
    ends farm 20 255
    says farm.err 'input cut off after task 100: the spool kept has no end'
  done
  from_pipe feeder 'seq 50; read -r <go; seq 51 300'
  run_from pipe --other-command 'echo {}'
  wait_for 10 has_child farm zfarm-sink
  echo >go
  ends farm 20 0
  ran_once 300
  same out <(seq 300)
  complete 300
  [[ ! -e kept ]]
}

@test "half a line at the end of what zfarm had read when it was killed is no task" {
  for try in {1..5}; do
    from_pipe "feeder$try" 'seq 10; printf "a task that is cut"; read -r <go'
    run_from pipe ':'
    wait_for 10 lines_reach log 10
    # What zfarm writes to is open in the ventilator, too: its death alone is no end.
    [[ $(readlink "/proc/$(child_of farm zfarm-ventilator)/fd/4") == socket:* ]]
    farm_is_killed
    echo >go
    ran_once 10
    rm -r log kept farm.db*
  done
}

@test "all of the input is in the spool: the job goes on without it" {
  from_pipe feeder 'seq 200'
  run_from pipe 'sleep 0.02'
  wait_for 10 test -e kept/end
  wait_for 10 lines_reach log 20
  farm_is_killed
  run_from /dev/null --other-command 'echo {}'
  ends farm 20 0
  complete 200
  [[ ! -e kept ]]
}

@test "an interrupted job keeps its spool, and its status does not lose it" {
  run_from <(seq 100) 'sleep 0.02; [ {} != 7 ]'
  wait_for 10 lines_reach log 20
  send INT farm
  ends farm 10 255
  [[ -e kept/end ]]
  run_from /dev/null --other-command '[ {} != 7 ]'
  ends farm 20 1
  ran_once 100
  complete 100
  [[ ! -e kept ]]
}

# a_spool COUNT: of a job of so many numbers whose input has ended, and that was killed.
a_spool() {
  from_pipe feeder "seq $1"
  run_from pipe 'sleep 0.02'
  wait_for 10 test -e kept/end
  farm_is_killed
  rm -f log
}

@test "a spool whose end is gone, or is not its own, is never taken for complete" {
  a_spool 300
  cp -r kept whole
  rm kept/end
  run_from /dev/null --other-command :
  ends farm 20 255
  says farm.err 'input cut off after task 300'
  for damage in 'truncate -s -5 kept/input' 'echo 301 >>kept/input' 'sed -i s/77/78/ kept/input' ': >kept/end'; do
    rm -r kept
    cp -r whole kept
    eval "$damage"
    run_from /dev/null --other-command :
    ends farm 20 255
    says farm.err 'the spool kept is damaged'
  done
  [[ ! -e log ]]
}

@test "another input and a shorter one are refused, a longer one goes on" {
  a_spool 300
  seq 300 | sed 's/^300$/3oo/' >other
  run_from other :
  ends farm 20 255
  says farm.err 'this is another input than the one in the spool kept, which differs after byte'
  seq 200 >other
  run_from other :
  ends farm 20 255
  says farm.err 'the spool kept has 1092 of an earlier run: it is shorter'
  run ! grep -q oo log
  same kept/input <(seq 300)
  [[ -e kept/end ]]
  seq 400 >other
  run_from other :
  ends farm 20 0
  complete 400
}

@test "one run at a time has a spool" {
  from_pipe feeder 'echo 1; read -r <go'
  run_from pipe :
  wait_for 10 lines_reach log 1
  start second zfarm run --store other.db --spool kept echo
  ends second 10 255
  says second.err 'the spool kept is in use by another zfarm run'
  echo >go
  ends farm 20 0
}

@test "--spool without a store, or for files and values, is refused" {
  start farm zfarm run --spool kept echo
  ends farm 10 255
  says farm.err '--spool needs --store'
  : >tasks
  for input in '::: 1' ':::: tasks' '::::+ tasks'; do
    # shellcheck disable=SC2086 # these are words
    start farm zfarm run --store farm.db --spool kept echo $input
    ends farm 10 255
    says farm.err '--spool is for piped input'
  done
  start farm zfarm run --store farm.db --spool kept -a tasks echo
  ends farm 10 255
  start farm zfarm run --store farm.db --spool no/where echo
  ends farm 10 255
  says farm.err 'cannot make the spool no/where'
  [[ ! -e kept && ! -e farm.db ]]
}

@test "a full disk under the spool is told, and the run goes on when there is room" {
  mkdir small
  unshare -rm true || skip "no mount namespaces here"
  start run unshare -rm bash -c 'mount -t tmpfs -o size=64k none small || exit 99
    seq 30000 | zfarm run -n 100 --store farm.db --spool small/kept --shell "echo {}" >out 2>err &
    while ! grep -qs "cannot write to the spool" err; do sleep 0.02; done
    mount -o remount,size=8m small; wait $!'
  ends run 30 0
  says err 'the spool small/kept: No space left on device; nothing is lost, make room; it goes on when there is'
  says err 'there is room again'
  same <(tr ' ' '\n' <out | sort -n) <(seq 30000)
}
