#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# Each way in which a task's output is written by somebody else than its first process, in each form of output: every
# byte, in each of ZFARM_OUTLIVE_RUNS runs (1). linger.bats has the rules and some of these.
# shellcheck disable=SC2016 # the quoted variables are the tasks' own
load helpers

runs=${ZFARM_OUTLIVE_RUNS:-1}

stdout_ways=(
  'echo line-$0 > >(cat)'
  'exec > >(cat); echo line-$0'
  'exec > >(sleep 0.02; cat); echo line-$0'
  '(sleep 0.02; echo line-$0) &'
  '(for i in 1 2 3; do sleep 0.01; done; echo line-$0) & disown'
)
stderr_ways=(
  'echo line-$0 2> >(cat >&2) >&2'
  'exec 2> >(cat >&2); echo line-$0 >&2'
  '(sleep 0.02; echo line-$0 >&2) &'
)

# many OPTION...: 100 tasks of $way.
many() { seq 100 | zfarm run -j4 "$@" -- bash -c "$way" {} >out 2>err; }

# all_of FILE: it has the line of each task once, in any order; in_order FILE: in theirs.
all_of() { same <(grep -a '^line-' "$1" | sort -V) expected || { echo "way: $way"; return 1; }; }
in_order() { same "$1" expected || { echo "way: $way"; return 1; }; }

@test "what outlives a task on stdout: text, -k, JSON Lines, store; every byte" {
  seq -f 'line-%g' 100 >expected
  for ((run = 0; run < runs; run++)); do
    for way in "${stdout_ways[@]}"; do
      many
      all_of out
      many -k
      in_order out
      many --format jsonl
      all_of <(jq -j .stdout out)
      many --store "s$run.db"
      all_of out
      zfarm verify "s$run.db" >verified 2>&1
      all_of <(sqlite3 "s$run.db" 'select cast(stdout as text) from result')
      rm -f "s$run.db"*
    done
  done
}

@test "what outlives a task on stderr: text, JSON Lines, store; every byte" {
  seq -f 'line-%g' 100 >expected
  for ((run = 0; run < runs; run++)); do
    for way in "${stderr_ways[@]}"; do
      many
      all_of err
      many --format jsonl
      all_of <(jq -j .stderr out)
      many --store "s$run.db"
      all_of err
      all_of <(sqlite3 "s$run.db" 'select cast(stderr as text) from result')
      rm -f "s$run.db"*
    done
  done
}

@test "what outlives a task with --pipe; every byte" {
  seq 10000 >expected
  for ((run = 0; run < runs; run++)); do
    for way in 'cat > >(cat)' 'exec > >(sleep 0.02; cat); cat' 'cat <&0 &'; do
      zfarm run -k -j4 --pipe --block 500 -- bash -c "$way" <expected >out 2>err
      in_order out
    done
  done
}
