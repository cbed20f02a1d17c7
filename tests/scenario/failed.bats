#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# Which tasks failed: with the summary, by verify, by zfarm failed.
# shellcheck disable=SC2016,SC2154 # the quoted variables are the tasks' own; helpers.bash sets pid_of
load helpers
load farm

# a_job FAILING [OPTION]...: 12 tasks, of which those in FAILING (a glob) exit with their number.
a_job() {
  local failing=$1
  shift
  seq 12 >tasks
  start farm zfarm run -k "$@" --shell "case {} in $failing) exit {};; esac" :::: tasks
}

@test "the summary names the first five that failed, and where all are" {
  a_job '2|4'
  ends farm 30 2
  says farm.err 'failed: task 2 (exit 2), task 4 (exit 4)'
  run ! grep -q 'has all' farm.err
  a_job '[2-9]'
  ends farm 30 8
  grep -qxF "failed: task 2 (exit 2), task 3 (exit 3), task 4 (exit 4), task 5 (exit 5), task 6 (exit 6), and 3 more; \
--joblog FILE or --store FILE.db has all" farm.err
  summary_is farm.err '12 tasks: 4 ok, 8 failed'
  a_job '[2-9]' --joblog jobs
  ends farm 30 8
  says farm.err '; jobs has all'
  for _ in 1 2; do # the second time out of the store
    a_job '[2-9]' --store farm.db
    ends farm 30 8
    says farm.err 'failed: task 2 (exit 2), task 3 (exit 3)'
    says farm.err '; zfarm failed farm.db has all'
  done
}

@test "--quiet: no summary, no hints; what went wrong is said" {
  a_job '[2-9]' --quiet
  ends farm 30 8
  [[ ! -s farm.err ]]
  start farm zfarm run --quiet --shell 'kill -9 $$' ::: a
  ends farm 30 1
  same farm.err <(echo 'zfarm: task 1 failed: it was ended by SIGKILL')
  start farm zfarm run --quiet ./not-there ::: a
  ends farm 30 255
  [[ -s farm.err ]]
}

@test "zfarm verify says which tasks failed, and zfarm failed lists them" {
  start farm zfarm run -k --store farm.db --retries 2 --shell \
    ::: true 'exit 3' 'kill -9 $$' $'printf "a\tb"; false' 'true and' 'exit 5'
  ends farm 30 4
  start verify zfarm verify farm.db
  ends verify 20 0
  says verify.out 'failed: task 2 (exit 3), task 3 (SIGKILL), task 4 (exit 1), task 6 (exit 5)'
  says verify.out 'all is there; 4 tasks failed'
  zfarm failed farm.db >list
  same <(cut -f1-3,5 list) <(printf '%s\t%s\t2\t%s\n' 2 'exit 3' 'exit 3' 3 SIGKILL 'kill -9 $$' \
    4 'exit 1' 'printf "a b"; false' 6 'exit 5' 'exit 5')
  zfarm failed --format jsonl farm.db >objects
  same <(jq -cr '[.seq, .status, .exit, .signal, .attempts, .task, .args, .stdout]' objects | sed -n '1p;3p') \
    <(printf '%s\n' '[2,"failed",3,null,2,"exit 3",["exit 3"],""]' \
      '[4,"failed",1,null,2,"printf \"a\tb\"; false",["printf \"a\tb\"; false"],"a\tb"]')
  zfarm failed -0 farm.db | zfarm run -0 -k echo >again
  same again <(printf '%s\n' 'exit 3' 'kill -9 $$' $'printf "a\tb"; false' 'exit 5')
}

@test "zfarm failed prints each value of a task of several, and says what it cannot do" {
  start farm zfarm run -n2 --store farm.db --shell 'false' ::: a 'b c' d
  ends farm 30 2
  same <(zfarm failed -0 farm.db | tr '\0' '\n') <(printf '%s\n' a 'b c' d)
  same <(zfarm failed farm.db | cut -f5) <(printf '%s\n' 'a b c' d)
  start failed zfarm failed
  ends failed 10 255
  start failed zfarm failed nothing.db
  ends failed 10 255
  says failed.err 'nothing.db'
  start failed zfarm failed -0 --format jsonl farm.db
  ends failed 10 255
}
