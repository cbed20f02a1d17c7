#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# One task does not end, and all the others pass it: no program of the farm may grow with them.
# MEMORY_TASKS says how many there are; `./dev chaos --memory` runs this with ten million, and the store
# with one.
# shellcheck disable=SC2154 # farm.bash sets control and results
load helpers
load farm

many=${MEMORY_TASKS:-1000000}
limit_s=$((60 + many / 20000))

# peaks_are_below MIB: of each program, and of a worker's children. Sanitizers keep what was freed.
peaks_are_below() {
  local name kib verdict=0 bound=$(($1 * 1024))
  ! is_sanitized || bound=$((bound + 512 * 1024))
  for name in ventilator worker sink; do
    kib=$(tail -n 1 "$name.peak")
    echo "# $many tasks, $BATS_TEST_DESCRIPTION: $name $kib KiB" >&3
    ((kib < bound)) || verdict=1
  done
  return "$verdict"
}

peak_of() { ASAN_OPTIONS=${ASAN_OPTIONS:-}:quarantine_size_mb=16 env time -f %M -o "$1.peak" "${@:2}"; }

# farm SINK-OPTION...: task 10 does not end before there is a file `go`.
farm() {
  cat >stuck.c <<'C'
#include <unistd.h>
#include <zfarm/plugin.h>
ZFARM_PLUGIN;
int zfarm_handle(void *state, const struct zfarm_task *task, struct zfarm_reply *out,
                 struct zfarm_reply *err)
{
    (void)state, (void)err;
    while (task->seq == 10 && access("go", F_OK))
        usleep(10000);
    zfarm_append(out, task->data, task->size);
    return zfarm_append(out, "\n", 1);
}
C
  plugin stuck
  farm_places
  seq "$many" >tasks
  start ventilator peak_of ventilator zfarm-ventilator --bind "$control" -a tasks
  start sink peak_of sink zfarm-sink --connect "$control" --bind "$results" --bar "$@"
  start worker peak_of worker zfarm-worker --connect "$control" -j2 --plugin ./stuck.so
}

# all_but_one: the progress line of the sink says so.
all_but_one() { [[ $(tail -c 200 sink.err) == *$((many - 1))/$many' done'* ]]; }

# passes: the others have passed, and then it may end.
passes() {
  wait_for "$limit_s" all_but_one
  touch go
  ends sink "$limit_s" 0
  ends ventilator 10 0
  ends worker 10 0
  says sink.err "$many tasks: $many ok, 0 failed, 0 lost"
}

@test "all the others pass a task that does not end" {
  farm
  passes
  one_each sink.out "$many"
  peaks_are_below 64
}

@test "with -k the others wait on disk for a task that does not end" {
  farm -k
  wait_for "$limit_s" all_but_one
  same sink.out <(seq 9)
  passes
  same sink.out tasks
  peaks_are_below 64
}

@test "with a store the others are in it before a task that does not end" {
  ((many <= 1000000)) || many=1000000
  farm -k --store farm.db
  wait_for "$limit_s" all_but_one
  same <(sqlite3 -readonly farm.db 'SELECT count(*) FROM result') <(echo $((many - 1)))
  passes
  same sink.out tasks
  peaks_are_below 64
}

# large COUNT OPTION...: that many tasks of 150 MB each, without a bound on outputs.
large() {
  farm_places
  seq "$1" >tasks
  start ventilator peak_of ventilator zfarm-ventilator --bind "$control" -a tasks
  start sink peak_of sink zfarm-sink --connect "$control" --bind "$results" -o out "${@:2}"
  start worker peak_of worker zfarm-worker --connect "$control" -j2 --output-max none \
    --shell 'seq {} 30000000 | head -c 150000000; echo {} >&2'
  ends sink 120 0
  ends ventilator 10 0
  ends worker 10 0
}

@test "outputs of any size pass, in order, and no program has them in memory" {
  local n
  large 3 -k
  cmp out <(for n in 1 2 3; do seq "$n" 30000000 | head -c 150000000; done)
  same <(grep -xE '[123]' sink.err) <(seq 3)
  peaks_are_below 64
}

@test "an output of any size waits for whoever reads it, and heartbeats go on" {
  mkfifo pipe
  start reader bash -c 'exec <pipe; until [[ -e go ]]; do sleep 0.1; done; sha256sum >sum'
  farm_places
  seq 1 >tasks
  start ventilator zfarm-ventilator --bind "$control" -a tasks --heartbeat 0.2
  start sink peak_of sink zfarm-sink --connect "$control" --bind "$results" -o pipe
  start worker zfarm-worker --connect "$control" -j1 --output-max none --shell 'seq {} 40000000 | head -c 300000000'
  wait_for 60 says sink.err 'whoever reads the output does not read on'
  touch go
  ends reader 60 0
  ends sink 20 0
  ends ventilator 10 0
  ends worker 10 0
  same sum <(seq 40000000 | head -c 300000000 | sha256sum)
  run ! says ventilator.err 'silent'
  (($(tail -n 1 sink.peak) < 64 * 1024)) || is_sanitized
}
