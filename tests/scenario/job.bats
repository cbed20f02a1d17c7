#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# A job from its first task to its last, when nothing breaks: results, summary, exit status.
# shellcheck disable=SC2016,SC2154 # the quoted variables are the tasks' own; farm.bash sets others
load helpers
load farm

headers() { find /usr/include -name '*.h' -type f | LC_ALL=C sort | head -n 300 >files; }

one_after_the_other() {
  local file
  while read -r file; do
    sha256sum "$file"
  done <files >expected
}

@test "zfarm run -k prints what a loop prints" {
  headers
  one_after_the_other
  start_reading files farm zfarm run -j2 -k -- sha256sum {}
  ends farm 60 0
  same farm.out expected
  summary_is farm.err "$(wc -l <files) tasks: $(wc -l <files) ok, 0 failed, 0 lost; 1 worker"
}

@test "ventilator, two workers and sink -k print what a loop prints" {
  headers
  one_after_the_other
  farm_places
  held files
  ventilator held
  sink -k
  worker one -j1 --shell 'touch one-runs; until [ -e two-runs ]; do sleep 0.02; done; sha256sum {}'
  worker two -j1 --shell 'touch two-runs; until [ -e one-runs ]; do sleep 0.02; done; sha256sum {}'
  wait_for 30 test -e two-runs
  let_go
  for name in sink ventilator one two; do
    ends "$name" 60 0
  done
  same sink.out expected
  summary_is sink.err "300 tasks: 300 ok, 0 failed, 0 lost; 2 workers"
}

@test "two workers with a plugin each multiply by their own number" {
  plugin multiply
  farm_places
  seq 5 >tasks
  held tasks
  sink --bar --format jsonl
  worker one -j1 --plugin ./multiply.so 1
  worker two -j1 --plugin ./multiply.so 2
  ventilator held --heartbeat 0.1
  wait_for 30 workers_are 2
  let_go
  for name in sink ventilator one two; do
    ends "$name" 30 0
  done
  products=$(jq -sc 'sort_by(.seq) | map(.stdout | tonumber)' sink.out)
  expected=$(jq -sc 'sort_by(.seq)
    | map((.task | tonumber) * (if .worker == "one" then 1 else 2 end))' sink.out)
  [[ $products == "$expected" && $(jq length <<<"$products") == 5 ]]
}

@test "three failed tasks: 3, from zfarm run" {
  start farm zfarm run -j2 --shell 'test {} -gt 3' ::: 1 2 3 4 5
  ends farm 30 3
  summary_is farm.err '5 tasks: 2 ok, 3 failed, 0 lost'
}

@test "a hundred failed tasks are 100, one more is 101" {
  seq 101 >tasks
  start_reading tasks farm zfarm run -j2 -- false
  ends farm 30 101
  head -n 100 tasks >fewer
  start_reading fewer farm zfarm run -j2 -- false
  ends farm 30 100
}

@test "150 failed tasks: 101, from ventilator and sink" {
  seq 150 >tasks
  farm_places
  ventilator tasks
  sink
  worker one -j2 -- false
  ends sink 30 101
  ends ventilator 30 101
  ends one 30 0
  summary_is sink.err '150 tasks: 0 ok, 150 failed, 0 lost'
}

@test "three failed tasks: 3, from ventilator and sink" {
  seq 5 >tasks
  farm_places
  ventilator tasks
  sink
  worker one -j2 --shell 'test {} -gt 3'
  ends sink 30 3
  ends ventilator 30 3
  ends one 30 0
}

@test "a task that fails twice is ok with three tries, and jsonl shows each" {
  start farm zfarm run --retries 3 --format jsonl --shell 'test $ZFARM_ATTEMPT = 3 # {}' ::: a
  ends farm 30 0
  [[ $(jq -c '.status, .attempts, (.tries | map(.status))' farm.out | tr -d '\n') == \
    '"ok"3["failed","failed","ok"]' ]]
  summary_is farm.err '1 task: 1 ok, 0 failed, 0 lost'
}

@test "a failed try is tried again on another worker that is free" {
  farm_places
  seq 2 >tasks
  ventilator tasks --retries 2
  sink --format jsonl --bar
  worker bad -j1 --shell 'touch bad-runs; until [ -e good-is-free ]; do sleep 0.02; done; exit 1'
  wait_for 10 test -e bad-runs
  worker good -j1 --shell ': {}'
  wait_for 10 says sink.err '1/2 done, 1 running' # so the ventilator knows that good has finished
  touch good-is-free
  ends sink 30 0
  ends ventilator 30 0
  same <(jq -c .worker sink.out) <(printf '"good"\n"good"\n')
}

@test "a task past its --timeout is killed and has failed" {
  start farm zfarm run --timeout 0.3 --format jsonl -- sleep {} ::: 60 0
  ends farm 20 1
  [[ $(jq -s 'sort_by(.seq) | map(.status) | join(" ")' farm.out) == '"timeout ok"' ]]
}

@test "--timeout N% kills what takes longer than that much of the median, commands and plugins" {
  start farm zfarm run -j2 --timeout 1000% --format jsonl -- sleep {} ::: 60 0.1 0.1 0.1 0.1
  ends farm 20 1
  same <(jq -r 'select(.seq == 1) | .status' farm.out) <(echo timeout)
  cat >slow.c <<'EOF'
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zfarm/plugin.h>
ZFARM_PLUGIN;
int zfarm_handle(void *state, const struct zfarm_task *task, struct zfarm_reply *out, struct zfarm_reply *err)
{
    (void)state, (void)out, (void)err;
    char text[16] = ""; /* nothing ends the task's bytes */
    memcpy(text, task->data, task->size < 15 ? task->size : 15);
    usleep((useconds_t)(atof(text) * 1e6));
    return 0;
}
EOF
  plugin slow
  start farm zfarm run -j2 --plugin ./slow.so --timeout 1000% --format jsonl ::: 60 0.1 0.1 0.1 0.1
  ends farm 20 1
  same <(jq -r 'select(.seq == 1) | .status' farm.out) <(echo timeout)
}

@test "a task's environment has its own variables and no option" {
  ZFARM_JOBS=1 start farm zfarm run --shell 'env | grep ^ZFARM_ | grep -v ^ZFARM_MARK= | sort; : {}' ::: a
  ends farm 20 0
  worker_name=$(grep ^ZFARM_WORKER= farm.out)
  [[ -n ${worker_name#ZFARM_WORKER=} ]]
  # (ZFARM_MARK is how the guard finds what a killed worker's tasks left behind.)
  same farm.out <(printf '%s\n' ZFARM_ATTEMPT=1 ZFARM_SEQ=1 ZFARM_SLOT=1 "$worker_name")
}

@test "options come from the environment" {
  ZFARM_JOBS=1 start farm zfarm run --shell 'echo $ZFARM_SLOT; sleep 0.05; : {}' ::: a b c d
  ends farm 20 0
  same farm.out <(printf '1\n1\n1\n1\n')
}

@test "a plugin that crashes on one task costs that task" {
  cat >crash.c <<'C'
#include <stdlib.h>
#include <string.h>
#include <zfarm/plugin.h>
ZFARM_PLUGIN;
int zfarm_handle(void *state, const struct zfarm_task *task, struct zfarm_reply *out,
                 struct zfarm_reply *err)
{
    (void)state, (void)err;
    if (task->size == 2 && memcmp(task->data, "57", 2) == 0)
        abort();
    zfarm_append(out, task->data, task->size);
    zfarm_append(out, "\n", 1);
    return 0;
}
C
  plugin crash
  seq 1000 >tasks
  start_reading tasks farm zfarm run -j2 -k --plugin ./crash.so
  ends farm 30 1
  same farm.out <(seq 1000 | grep -vx 57)
  summary_is farm.err '1000 tasks: 999 ok, 1 failed, 0 lost'
}

@test "the programs find each other where they are installed" {
  cd /
  run --separate-stderr zfarm run -- echo {} ::: a
  [[ $status == 0 && $output == a ]]
}

@test "the programs find each other by a symbolic link" {
  ln -s "$(command -v zfarm)" link
  run --separate-stderr ./link run -- echo {} ::: a
  [[ $status == 0 && $output == a ]]
}
