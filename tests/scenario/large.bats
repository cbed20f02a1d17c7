#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# Tasks that are too large for one message travel in pieces.
# shellcheck disable=SC2016,SC2154 # the quoted variables are the tasks' own; farm.bash sets control
load helpers
load farm

setup_file() { seq 6000000 >"$BATS_FILE_TMPDIR/numbers"; } # 46,888,896 bytes

# lines FILE SIZE...: lines of so many bytes each, the newline not counted.
lines() {
  local file=$1 size
  for size in "${@:2}"; do
    tr '\n' , <"$BATS_FILE_TMPDIR/numbers" | head -c "$size"
    echo
  done >"$file"
}

peak_of() { env time -f %M -o "$1.peak" "${@:2}"; }

@test "blocks of 40 MB are the stdin of COMMAND, and the worker has none in memory" {
  local blocks=$BATS_FILE_TMPDIR/numbers
  farm_places
  start ventilator zfarm-ventilator --bind "$control" --pipe --block 40M -a "$blocks" -a "$blocks"
  sink -k
  start worker peak_of worker zfarm-worker --connect "$control" -j2 --output-max 64M --pipe -- cat
  ends sink 60 0
  ends ventilator 10 0
  ends worker 10 0
  cmp sink.out <(cat "$blocks" "$blocks")
  summary_is sink.err '3 tasks: 3 ok'
  (($(tail -n 1 worker.peak) < 64 * 1024)) || is_sanitized
}

@test "lines of up to 40 MB reach a coprocess and a plugin, small ones between them" {
  local sizes=(40000000 15 2000000 1048576 1048587 300000)
  lines tasks "${sizes[@]}"
  start coprocess zfarm run -k -j2 --task-max 64M --output-max 64M -a tasks --coprocess cat
  ends coprocess 60 0
  cmp coprocess.out tasks
  cat >size.c <<'C'
#include <zfarm/plugin.h>
ZFARM_PLUGIN;
int zfarm_handle(void *state, const struct zfarm_task *task, struct zfarm_reply *out,
                 struct zfarm_reply *err)
{
    (void)state, (void)err;
    return zfarm_appendf(out, "%zu %.9s\n", task->size, task->data + task->size - 9);
}
C
  plugin size
  start plugin zfarm run -k -j2 --task-max 64M -a tasks --plugin ./size.so
  ends plugin 60 0
  same plugin.out <(while read -r line; do echo "${#line} ${line: -9}"; done <tasks)
}

@test "a line above --task-max fails alone, with the reason" {
  lines tasks 3000000 2000000
  start farm zfarm run -k --task-max 2500k -a tasks --coprocess cat
  ends farm 30 1
  cmp farm.out <(tail -n 1 tasks)
  says farm.err 'task 1 failed: the task is longer than --task-max'
}

@test "a worker that is killed in the middle of a task's pieces costs no try" {
  farm_places
  mkfifo in go
  start feeder bash -c 'exec >in; read -r <go; cat "$1"' feeder "$BATS_FILE_TMPDIR/numbers"
  ventilator in --pipe --block 64M
  sink --bar
  worker slow -j1 --pipe -- sha256sum
  wait_for 20 workers_are 1
  send STOP slow # takes nothing more: what of the task is on its way stays there
  let_go
  wait_for 20 is_on_its_way slow
  send KILL slow
  worker other -j1 --pipe --shell 'echo "$ZFARM_WORKER $ZFARM_ATTEMPT $(sha256sum)"'
  ends sink 60 0
  ends ventilator 10 0
  ends other 10 0
  same sink.out <(echo "other 1 $(sha256sum <"$BATS_FILE_TMPDIR/numbers")")
}

# is_on_its_way NAME: a task is on its way to that worker, so the ventilator, and some of it is there.
is_on_its_way() { zfarm why --connect "$control" 2>why.err | grep -qE "on its way to $1.*: [1-9]"; }

@test "a farm that is killed goes on with its store, and the hashes are those of the input" {
  lines tasks 3000000 7 5000000
  local again=(zfarm run -k --store farm.db --task-max 8M -o out -a tasks --coprocess --shell
    'while read -r x; do echo x >>runs; echo ${#x}; done')
  start farm "${again[@]}"
  wait_for 30 lines_reach runs 1
  send KILL farm
  ends farm 5 137
  start again "${again[@]}"
  ends again 60 0
  same out <(printf '%s\n' 3000000 7 5000000)
  start verify zfarm verify --task-max 8M farm.db tasks
  ends verify 30 0
}
