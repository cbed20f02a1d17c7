#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# A COMMAND that stays: a line in, a line out. The examples are those of the README.
# shellcheck disable=SC2016 # the quoted variables are the tasks' own
load helpers
load farm

@test "a shell loop, an awk script and a Python program, each started once a slot" {
  seq 1000 >tasks
  start shell zfarm run -j2 -k -a tasks --coprocess --shell \
    'echo began >>starts; while read -r x; do echo $((x * x)); done'
  ends shell 30 0
  awk '{ print $1 * $1 }' tasks >squares
  same shell.out squares
  (($(wc -l <starts) == 2))
  start awk zfarm run -j2 -k -a tasks --coprocess -- mawk -W interactive '{ print $1 * $1; fflush() }'
  ends awk 30 0
  same awk.out squares
  printf '%s\n' 'import sys' 'for line in sys.stdin:' '    print(int(line) ** 2, flush=True)' >square.py
  start python zfarm run -j2 -k -a tasks --coprocess python3 square.py
  ends python 30 0
  same python.out squares
}

@test "records that end with NUL may be lines themselves" {
  printf 'one\0two\nlines\0' >tasks
  start farm zfarm run -k -0 -a tasks --coprocess cat
  ends farm 20 0
  same farm.out <(printf 'one\ntwo\nlines\n')
}

@test "one that dies costs one task, which can be tried again; the others go on" {
  seq 200 >tasks
  start farm zfarm run -j2 --retries 2 --format jsonl -a tasks --coprocess --shell \
    'while read -r x; do [ $x != 77 ] || exit 9; echo $x; done'
  ends farm 30 1
  [[ $(jq -cs 'map(select(.status != "ok")) | map([.seq, .status, .exit, .attempts])' farm.out) == \
    '[[77,"failed",9,2]]' ]]
  (($(jq -s 'map(select(.status == "ok")) | length' farm.out) == 199))
}

@test "one that never answers, or too much, ends the run with words and 255" {
  start silent zfarm run -j2 --coprocess false ::: {1..50}
  ends silent 20 255
  says silent.err 'false ended with status 1 before it had answered a task'
  start talker zfarm run -j1 --coprocess --shell 'while read -r x; do printf "%s\nmore\n" $x; done' ::: {1..50}
  ends talker 20 255
  says talker.err 'wrote a line that nobody had asked for'
}

@test "a slot whose program keeps dying fails its tasks while another one answers" {
  start farm zfarm run -j2 --format jsonl --coprocess --shell \
    'read -r x; [ $ZFARM_SLOT = 1 ] || { until [ -e answered ]; do sleep 0.01; done; exit 7; }
     while echo $x; do touch answered; sleep 0.1; read -r x || exit; done' ::: {1..20}
  wait_for 40 has_ended farm
  [[ $(jq -s length farm.out) == 20 ]]
  (($(jq -s 'map(select(.exit == 7)) | length' farm.out) >= 3))
}

@test "answers that are too large fail their tasks, also the very first ones" {
  start farm zfarm run -j1 --output-max 1k --format jsonl --coprocess --shell \
    'while read -r x; do [ $x -gt 4 ] || printf %03000d 0; echo; done' ::: {1..8}
  ends farm 30 4
  [[ $(jq -r .status farm.out | paste -sd' ') == "$(yes output-too-large | head -n 4 | paste -sd' ') ok ok ok ok" ]]
}

@test "one that does not flush is named" {
  start farm zfarm run -j1 --coprocess tr a b ::: 1
  wait_for 15 says farm.err 'has not answered its first line for 5 s: it has to write one line'
  send INT farm
  send TERM farm
  ends farm 20 255
}

@test "what does not go together is refused" {
  for options in '--coprocess' '--coprocess --shell' '--coprocess --plugin x.so cat' '--coprocess --dry-run cat'; do
    read -ra words <<<"$options"
    start farm zfarm run "${words[@]}" ::: 1
    ends farm 10 255
    [[ -s farm.err ]]
  done
}
