#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# What people expect who come from xargs and GNU parallel, and which option or variable counts.
# shellcheck disable=SC2016,SC2154 # the quoted variables are the tasks' own
load helpers

@test "a variable gives way to its own option only" {
  ZFARM_RETRIES=3 start one zfarm run --retry-delay 0.01 --shell 'echo {} >>tries; exit 1' ::: a
  ends one 20 1
  same <(wc -l <tries) <(echo 3)
  ZFARM_KEEP_ORDER=1 start two zfarm run -j3 --hedge --shell 'sleep 0.{}; echo {}' ::: 5 3 1
  ends two 20 0
  same two.out <(printf '%s\n' 5 3 1)
  ZFARM_JOBLOG=job.log start three zfarm run -o output echo ::: a
  ends three 20 0
  same output <(echo a)
  same <(wc -l <job.log) <(echo 2)
  ZFARM_DURABILITY=wrong start four zfarm run --no-bar echo ::: a
  ends four 20 255
  says four.err "ZFARM_DURABILITY: 'wrong' is not one of its values"
  ZFARM_BAR=1 start five zfarm run --no-bar echo ::: a
  ends five 20 0
  same five.out <(echo a)
}

@test "the value of --replace is optional, behind an equals sign" {
  start one zfarm run --replace echo '{}{1}' ::: a
  ends one 20 0
  same one.out <(echo aa)
  start two zfarm run --replace=X echo 'X{}' ::: a
  ends two 20 0
  same two.out <(echo 'a{}')
  start three zfarm run -I X echo 'X{}' ::: a
  ends three 20 0
  same three.out <(echo 'a{}')
}

@test "an option whose value is forgotten before -- is refused" {
  start one zfarm run --joblog -- echo ::: a
  ends one 20 255
  says one.err '--joblog needs a value, and -- ends the options'
  [[ ! -e ./-- ]]
}

@test "the worker's --lanes and --results have new names" {
  start one zfarm-worker --lanes=tcp://127.0.0.1:1 echo
  ends one 20 255
  says one.err '--lanes: it is called --lanes-at now'
  start two zfarm-worker --results tcp://127.0.0.1:1 echo
  ends two 20 255
  says two.err '--results: it is called --results-at now'
  ZFARM_RESULTS=x start three zfarm-worker echo
  ends three 20 255
  says three.err 'ZFARM_RESULTS: it is called --results-at now'
}

@test "options of a farm are none of a farm in one of its tasks, and its tasks' variables neither" {
  ZFARM_JOBS=1 ZFARM_TAG=1 start one zfarm run --shell \
    'env -u ZFARM_MARK zfarm run -j2 -k --shell '\''echo $ZFARM_SEQ'\'' ::: x y; : {}' ::: a b
  ends one 30 0
  same one.out <(printf '%s\t%s\n' a '1 x' a '2 y' b '1 x' b '2 y')
}

@test "--joblog - and -o - are standard output" {
  start one zfarm run -j1 --joblog - --shell 'echo out{}' ::: a b
  ends one 20 0
  same <(cut -f1,7,9 one.out) <(printf '%s\n' $'Seq\tExitval\tCommand' outa $'1\t0\techo outa' outb $'2\t0\techo outb')
  [[ ! -e ./- ]]
  start two zfarm run -j1 -o output --store job.db --joblog - echo ::: a
  ends two 20 0
  same output <(echo a)
  same <(cut -f1,7,9 two.out) <(printf '%s\n' $'Seq\tExitval\tCommand' $'1\t0\techo a')
  start three zfarm run -o - echo ::: a
  ends three 20 0
  same three.out <(echo a)
  [[ ! -e ./- ]]
}

# The values of the next tests are those of GNU parallel 20221122: ./dev parallel compares with it.

@test "{= perl =} is refused before anything runs" {
  for words in 'echo {= s/a/b/ =}' 'echo {2= s/a/b/ =}'; do
    for shell in --shell=no --shell; do
      # shellcheck disable=SC2086 # several words
      start one zfarm run "$shell" --joblog log $words ::: a
      ends one 20 255
      says one.err 'COMMAND has {= perl =} of GNU parallel, and zfarm runs no Perl'
      [[ ! -e log ]]
    done
  done
}

@test "columns are trimmed as GNU parallel does, and --trim says otherwise" {
  printf 'baz \t quux\n' >columns
  start one zfarm run -a columns --shell --colsep '\t' echo '[{1}]' '[{2}]'
  ends one 20 0
  same one.out <(echo '[baz] [quux]')
  start two zfarm run -a columns --trim n --shell --colsep '\t' echo '[{1}]' '[{2}]'
  ends two 20 0
  same two.out <(echo '[baz ] [ quux]')
  printf '  a  \n' >blanks
  for trim in n l r lr rl; do
    start "$trim" zfarm run -a blanks --trim "$trim" printf '[%s]\n'
    ends "$trim" 20 0
  done
  same <(cat n.out l.out r.out lr.out rl.out) <(printf '[%s]\n' '  a  ' 'a  ' '  a' a a)
  start three zfarm run --trim x echo ::: a
  ends three 20 255
  says three.err "--trim: 'x' is not one of its values"
}

@test "a column that is not there is no argument" {
  start one zfarm run -k --shell --colsep % printf '"[%s]"' '{1}' '{2}' '{3}' ::: 'a%b' 'a%%c'
  ends one 20 0
  same one.out <(printf '[a][b][a][][c]')
  start two zfarm run -k --colsep % printf '[%s]' '{1}' '{2}' '{3}' ::: 'a%b' 'a%%c'
  ends two 20 0
  same two.out <(printf '[a][b][a][][c]')
}

@test "{} as the command itself is a command line" {
  start one zfarm run -k --shell '{}' ::: 'echo a  b' 'echo c; echo d'
  ends one 20 0
  same one.out <(printf '%s\n' 'a b' c d)
  start two zfarm run --shell '{1} {2}' ::: 'echo x' ::: 'y  z'
  ends two 20 0
  same two.out <(echo 'x y z')
  start three zfarm run --shell 'echo {}' ::: 'a  b'
  ends three 20 0
  same three.out <(echo 'a  b')
}

@test "--ok-exit says which exit statuses are ok" {
  start one zfarm run -k -j1 --ok-exit 0,1 --joblog log --format jsonl --shell 'exit {}' ::: 0 1 2
  ends one 20 1
  same <(jq -c '[.status, .exit]' one.out) <(printf '%s\n' '["ok",0]' '["ok",1]' '["failed",2]')
  same <(tail -n +2 log | cut -f7) <(printf '%s\n' 0 1 2)
  says one.err '3 tasks: 2 ok, 1 failed'
  printf '%s\n' {1..1000} >numbers
  start two zfarm run --pipe --block 100 -k --ok-exit 0,1 -- grep -x 77 <numbers
  ends two 20 0
  start two zfarm run --pipe --block 100 -k --ok-exit 0,1 -a numbers -- grep -x 77
  ends two 20 0
  same two.out <(echo 77)
  start three zfarm run --ok-exit 1 --shell 'exit {}' ::: 0 1
  ends three 20 1
  start four zfarm run --retries 3 --ok-exit 0,3-5 --shell 'echo {} >>runs; exit {}' ::: 4
  ends four 20 0
  same runs <(echo 4)
  start five zfarm run --ok-exit 0,256 true ::: a
  ends five 20 255
  says five.err "--ok-exit: '0,256' is not one of its values"
  start six zfarm run --ok-exit 1 --coprocess cat ::: a
  ends six 20 255
  says six.err '--ok-exit is for the exit status of COMMAND'
}

# halted HALT COMMAND VALUE...: how many tasks were begun on two slots.
halted() {
  rm -f begun
  start halted zfarm run "$@"
  wait_for 20 has_ended halted
  wc -l <begun
}

@test "with --halt and a count of 1 nothing more is begun, and the command is named" {
  # As `parallel -j2 --halt soon,fail=1`: 2 runs when 1 fails, and 3 is never begun.
  local command='echo {} >>begun; [ {} != 1 ] || until grep -qx 2 begun; do sleep 0.01; done
    [ {} != 2 ] || until grep -q "halted by" halted.err; do sleep 0.01; done; exit {}'
  for _ in {1..5}; do
    same <(halted -j2 --halt soon,fail=1 --shell "$command" ::: 0 0 1 2 3) <(echo 4)
  done
  says halted.err 'halted by task 3: nothing more is begun, and what runs may finish; it failed: echo 1 >>begun; '
  for _ in {1..10}; do
    same <(halted -j1 --halt now,fail=1 --shell 'echo {} >>begun; exit {}' ::: 0 0 7 0) <(echo 3)
    same <(halted -j1 --halt soon,success=1 --shell 'echo {} >>begun; exit {}' ::: 1 0 1 1) <(echo 2)
  done
}

@test "a replacement within quotes of a --shell COMMAND is refused before anything runs" {
  run -255 --separate-stderr zfarm run --shell 'echo "{}" >>ran' ::: a b
  [[ -z $output && ! -e ran ]]
  [[ $stderr == *'{} is quoted already'* ]]
  ((${#stderr_lines[@]} == 1))
  run -0 --separate-stderr zfarm run -k --shell 'echo "$(basename {})"' ::: 'x/$(id)'
  [[ $output == '$(id)' ]]
}
