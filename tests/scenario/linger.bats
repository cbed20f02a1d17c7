#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# What a task's first process leaves running may write on: the task has ended when its output has.
# shellcheck disable=SC2016 # the quoted variables are the tasks' own
load helpers

# Four ways in which a line is written by somebody else than the first process, and often after its end.
ways=(
  'echo line-{} > >(cat)'
  'exec > >(cat); echo line-{}'
  '{ echo line-{}; } | (sleep 0.02; cat) &'
  '(for i in 1; do sleep 0.05; echo line-{}; done) &'
)

lines() { seq -f 'line-%g' "$1"; }

@test "process substitutions and background loops: every line, as text, in order, and as JSON Lines" {
  lines 100 >expected
  for way in "${ways[@]}"; do
    seq 100 | zfarm run -k -j4 -- bash -c "${way//\{\}/\$0}" {} >out 2>err
    same out expected
    summary=$(tail -n1 err)
    [[ $summary == '100 tasks: 100 ok, 0 failed'* ]]
    seq 100 | zfarm run -j4 --format jsonl -- bash -c "${way//\{\}/\$0}" {} >out 2>err
    same <(jq -r .stdout out | sed '/^$/d' | sort -V) expected
    [[ $(jq -r 'select(.cut) | .seq' out) == '' ]]
  done
}

@test "stderr through a process substitution" {
  lines 50 >expected
  seq 50 | zfarm run -k -j4 --format jsonl -- bash -c 'echo line-$0 2> >(cat >&2) >&2' {} >out 2>err
  same <(jq -r .stderr out | sed '/^$/d') <(jq -r '"line-" + .task' out)
  (($(wc -l <out) == 50))
}

@test "the same into a store, and with --pipe" {
  seq 100 | zfarm run -j4 --store s.db -- bash -c 'echo line-$0 > >(cat)' {} >out 2>err
  same <(sort -V out) <(lines 100)
  zfarm verify s.db >verified 2>&1
  same <(sqlite3 s.db 'select stdout from result' | sed '/^$/d' | sort -V) <(lines 100)
  seq 10000 >numbers
  zfarm run -k -j4 --pipe --block 1000 -- bash -c 'cat > >(cat; sleep 0.01)' <numbers >out 2>err
  same out numbers
}

@test "what is written after the linger is lost, its writer lives, and it is said once a task; --linger 0 too" {
  zfarm run --linger 0.2 --shell '(sleep 1; echo x; echo x; echo {} >>f) & echo on' ::: a b >out 2>err
  same out <(echo on; echo on)
  (($(grep -c 'its output was cut: when --linger was over, process [0-9]* of the task still held it' err) == 2))
  wait_for 10 lines_reach f 2
  zfarm run --linger 0 --format jsonl --shell '(sleep 0.5; echo x; echo x; echo {} >>g) & echo on' ::: a >out 2>err
  [[ $(jq -r .cut out) == true && $(jq -r .stdout out) == on ]]
  wait_for 10 lines_reach g 1
  says err '1 task: 1 ok, 0 failed'
}

@test "with --linger 0 tasks that leave nobody behind are not cut, whatever is started beside them" {
  seq 300 | zfarm run --linger 0 -j8 -- true >out 2>err
  run ! grep -q 'was cut' err
  says err '300 tasks: 300 ok'
}

@test "why and the timeout: who holds the output is named, and killed" {
  start farm zfarm run --timeout 8 --shell 'sleep 300 & :' ::: a
  held() { timeout 10 zfarm why >why.out 2>&1 && says why.out 'its output is still held by sleep (pid '; }
  wait_for 7 held
  ends farm 15 1
  says farm.err 'it ran longer than --timeout'
  wait_for 5 nothing_is_marked
}

@test "an interrupted run does not wait for what lingers" {
  start farm zfarm run --linger 300 --shell 'echo {} >>log; sleep 300 & :' ::: a
  wait_for 10 lines_reach log 1
  send TERM farm
  wait_for 10 says farm.err 'stopping: what runs may finish'
  send_again TERM farm
  ends farm 10 255
  wait_for 5 nothing_is_marked
}

@test "a task has no terminal: reading from it fails at once" {
  start farm timeout 20 script -qec \
    "zfarm run --no-bar --shell 'read x </dev/tty; echo rc=\$?' ::: a" /dev/null
  ends farm 20 0
  says farm.out 'No such device or address'
}

@test "a stopped task: why says so, and --timeout ends it at once" {
  start farm zfarm run --timeout 8 --kill-after 300 --shell 'kill -STOP $$; :' ::: a
  stopped() { timeout 10 zfarm why >why.out 2>&1 && says why.out 'its process is stopped'; }
  wait_for 7 stopped
  ends farm 60 1
  says farm.err 'it ran longer than --timeout'
}
