#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# zfarm why: what each unfinished task waits for, asked of farms that run.
# shellcheck disable=SC2016,SC2154 # the quoted variables are the tasks' own; farm.bash sets others
load helpers
load farm

# why_says TEXT [OPTION...]: zfarm why has answered, with TEXT in its answer.
why_says() {
  local text=$1
  shift
  timeout 10 zfarm why "$@" >why.out 2>why.err && says why.out "$text"
}

# soon TEXT [OPTION...]: it says so within 15 s.
soon() { wait_for 15 why_says "$@" || { cat why.out why.err; return 1; }; }

# why_ends STATUS TEXT [OPTION...]: zfarm why ends within 5 s with STATUS, and TEXT on stderr.
why_ends() {
  local status=$1 text=$2
  shift 2
  start why zfarm why "$@"
  ends why 5 "$status"
  says why.err "$text"
}

@test "none: words, and 1" {
  why_ends 1 'you have no farm on this machine'
  [[ ! -s why.out ]]
}

@test "nobody there, a wrong word, a far place: words, and 255" {
  farm_places
  why_ends 255 "there is no ventilator at $control" --connect "$control"
  why_ends 255 'there is no ventilator at ipc:///no/such/place' --connect ipc:///no/such/place
  why_ends 255 'why takes no word (here: slow)' slow
  why_ends 255 '--insecure' --connect tcp://192.0.2.1:5556
}

@test "zfarm run is found by itself: what runs, where, and for how long; what is queued, and why" {
  start farm zfarm run -j2 --shell 'echo {} >>log; [ {} != 2 ] || exec sleep 300' ::: 1 2 3
  wait_for 10 lines_reach log 3
  soon 'task 2: running on '
  head -n1 why.out | grep -qF "zfarm run -j2 --shell echo {} >>log; [ {} != 2 ] || exec sleep 300"
  head -n1 why.out | grep -qF "(process ${pid_of[farm]}, at ipc://$TMPDIR/zfarm-${pid_of[farm]}-"
  says why.out '  3 tasks read, 2 stored, 1 not; nothing has moved for '
  grep -qE '^  task 2: running on [^ ]+ for [0-9]+\.[0-9] s$' why.out
  says why.out '  input: read to its end'
  kill -KILL "$(child_of farm zfarm-worker)"
  soon 'task 2: running alone on '
  send INT farm
  soon 'input: not read on, the job is being stopped (interrupted by a signal)'
  send_again INT farm
  ends farm 10 255
}

@test "a worker whose slots are busy: what stands behind it waits" {
  start_reading <(seq 400) farm zfarm run -j1 --shell '[ {} = 300 ] && exec sleep 300; :'
  soon 'task 300: running on '
  behind='at .*, behind what runs there: its 1 slot is busy'
  queued='queued; no worker has a free slot: 1 worker with 1 slot'
  grep -qE "^  tasks? 301.*: ($behind|$queued)" why.out
  send KILL farm
  ends farm 5 137
}

@test "two runs at once: a section each; one that is over is in neither" {
  start one zfarm run -j1 --shell 'exec sleep 301' ::: 1
  start two zfarm run -j1 --shell 'exec sleep 302' ::: 1
  both() {
    timeout 10 zfarm why >why.out && (($(grep -c 'task 1: running on' why.out) == 2))
  }
  wait_for 15 both
  (($(grep -cE '^zfarm run .*\(process [0-9]+, at ' why.out) == 2))
  says why.out "(process ${pid_of[one]}, "
  says why.out "(process ${pid_of[two]}, "
  send KILL one
  ends one 5 137
  wait_for 5 eval '! marked_processes | xargs -I% cat /proc/%/cmdline 2>/dev/null | grep -qa "sleep.301"'
  soon "(process ${pid_of[two]}, "
  run ! says why.out "sleep 301"
  (($(grep -c ' (process ' why.out) == 1))
  send KILL two
  ends two 5 137
}

@test "by hand, without a sink, then without a worker: how to start one, also in the stall line" {
  farm_places
  seq 5 >tasks
  ventilator tasks
  soon "no sink has joined yet: start one with: zfarm-sink --connect $control; given up in "
  head -n1 why.out | grep -qF "(process ${pid_of[ventilator]}, at $control)"
  sink
  sink_is_seen() {
    why_says "no worker has joined yet: start one with: zfarm-worker --connect $control" &&
      ! says why.out 'no sink'
  }
  wait_for 15 sink_is_seen
  why_says 'no worker has joined yet' --connect "$control"
  wait_for 10 says ventilator.err 'waiting: no worker has joined yet: start one with: zfarm-worker'
  worker one -j1 -- echo
  ends sink 10 0
  ends ventilator 10 0
  ends one 10 0
}

@test "the answer comes from where a wildcard is bound, too" {
  farm_places
  port=${control##*:}
  start ventilator zfarm-ventilator --bind "tcp://*:$port" --insecure ::: 1
  soon "(process ${pid_of[ventilator]}, at tcp://127.0.0.1:$port)"
  says why.out "start one with: zfarm-worker --connect tcp://$(</proc/sys/kernel/hostname):$port"
  says why.out "start one with: zfarm-sink --connect tcp://$(</proc/sys/kernel/hostname):$port"
  send KILL ventilator
  ends ventilator 5 137
  why_ends 1 'you have no farm on this machine' # its directory is still there
  compgen -G "$TMPDIR/zfarm-*/beacon"
}

@test "an input that is held open" {
  seq 3 >tasks
  held tasks
  start_reading held farm zfarm run -j2 echo
  wait_for 10 lines_reach farm.out 3
  soon 'input: waits for more of standard input, which is not at its end'
  says why.out '3 tasks read, 3 stored, 0 not'
  let_go
  ends farm 10 0
}

@test "a reader of the output that does not read" {
  mkfifo pipe
  start farm bash -c 'exec zfarm run -j2 --shell ": {}; head -c 300000 /dev/zero" ::: 1 2 3 4 >pipe'
  exec 4<pipe
  soon "the sink's output is not being read: it goes on when its reader does"
  cat <&4 >results
  exec 4<&-
  ends farm 10 0
  (($(stat -c %s results) == 1200000))
}

@test "a disk that is full" {
  start farm zfarm run -j1 -o /dev/full echo ::: 1 2 3
  soon 'the sink cannot write what it gets: it says why, and tries again each second'
  grep -qE '^  tasks? .*: result made by .*, not stored yet: the sink cannot write it now$' why.out
  send INT farm
  send TERM farm
  ends farm 15 255
}

@test "a sink that was killed: for how long, and when it is given up" {
  farm_places
  seq 100 >tasks
  ventilator tasks --give-up 30
  sink
  worker one -j1 --shell 'echo {} >>log; sleep 0.2; echo {}'
  wait_for 10 lines_reach log 3
  send KILL sink
  soon 'the sink is gone for '
  grep -qE 'the sink is gone for [0-9.]+ s; it is waited for, given up in (30|2[0-9]|1[0-9]) s' why.out
  soon 'result made by one@'
  grep -qE '^  tasks? .*: result made by one@.*, not stored yet: the sink is gone$' why.out
  send KILL ventilator
  ends ventilator 5 137
}

@test "a worker that was killed: its task waits for one that it can have for itself" {
  farm_places
  ventilator /dev/null ::: 1
  sink
  worker one -j1 --shell 'echo {} >>log; exec sleep 300'
  wait_for 10 lines_reach log 1
  send KILL one
  soon 'task 1: waiting for a worker that it can have for itself (one worker died with it): none is there'
  says why.out "all workers are gone: start one with: zfarm-worker --connect $control"
  worker two -j1 --shell 'exec sleep 300'
  soon 'task 1: running alone on two@'
  send KILL ventilator
  ends ventilator 5 137
}

@test "a full order window names the task that it waits for" {
  start_reading <(seq 100) farm zfarm run -j2 -k --spool-max 1K --shell \
    '[ {} = 2 ] && exec sleep 300; head -c 1000000 /dev/zero'
  soon 'the order window (-k) is full: it waits for task 2: running on '
  says why.out 'input: read on when the order window has room'
  send KILL farm
  ends farm 5 137
}

@test "a ventilator that is stopped does not hold it up" {
  farm_places
  ventilator /dev/null ::: 1
  soon 'no sink has joined yet'
  send STOP ventilator
  why_ends 255 'does not let itself be reached within 3 s'
  send CONT ventilator
  soon 'no sink has joined yet'
}
