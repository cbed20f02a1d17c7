#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# A disk is full: the farm says so, waits, goes on when there is room, and loses nothing.
# shellcheck disable=SC2016,SC2154 # the quoted variables are another shell's; farm.bash sets others
load helpers
load farm

# small_disk SIZE FILLED: a file system of SIZE in `small`, FILLED of it taken by small/ballast, that only what
# is started with "${inside[@]}" sees.
small_disk() {
  mkdir small
  unshare -rm true || skip "no mount namespaces here"
  start disk unshare -rm bash -c 'mount -t tmpfs -o size=$0 none small && head -c $1 /dev/zero >small/ballast &&
    echo ready && exec sleep 600' "$1" "$2"
  wait_for 5 says disk.out ready
  inside=(nsenter --target "${pid_of[disk]}" --user --mount --preserve-credentials
    bash -c 'cd "$0" && exec "$@"' "$PWD")
}

make_room() { "${inside[@]}" rm small/ballast; }

# farm COUNT SINK-OPTION...: tasks of which each writes itself and a line of 20 KB; what ran is in log.
farm() {
  local count=$1
  shift
  farm_places
  seq "$count" >tasks
  start ventilator zfarm-ventilator --bind "$control" -a tasks --heartbeat "${heartbeat:-0.5}"
  start sink "${inside[@]}" zfarm-sink --connect "$control" --bind "$results" "$@"
  worker worker -j2 --shell 'echo {} >>log; echo {}; head -c 20000 /dev/zero | tr "\0" x; echo'
}

# is_full WORDS: the sink waits for room, says so once in such words, and does not say that the job is done.
is_full() {
  wait_for 60 says sink.err "$1"
  is_running sink
  is_running ventilator
  run ! grep -q 'tasks: ' sink.err
}

# all_are_there COUNT [FILE]: the job ends well, and FILE has each task's line and as many others.
all_are_there() {
  ends sink 30 0
  ends ventilator 10 0
  ends worker 10 0
  says sink.err "$1 tasks: $1 ok, 0 failed, 0 lost"
  one_each <("${inside[@]}" grep -v x "${2:-sink.out}") "$1"
  (($("${inside[@]}" awk 'length == 20000' "${2:-sink.out}" | wc -l) == $1))
}

goes_on() { says sink.err 'there is room again, it goes on'; }

@test "the output's disk is full" {
  small_disk 4m 3500K
  farm 100 -o small/out
  is_full 'cannot write to small/out: No space left on device; nothing is lost, make room'
  make_room
  all_are_there 100 small/out
  goes_on
}

@test "the output's disk is full for ten limits of silence: nothing is taken for dead, and nothing runs twice" {
  local heartbeat=0.2
  small_disk 4m 3500K
  farm 150 -o small/out
  is_full 'cannot write to small/out: No space left on device'
  sleep 12 # what is tested
  make_room
  all_are_there 150 small/out
  one_each log 150
  nothing_was_cut
}

@test "the output's disk is full, in order and with a store that is elsewhere" {
  small_disk 4m 3500K
  farm 100 -k -o small/out --store farm.db
  is_full 'cannot write to small/out: No space left on device; nothing is lost, make room'
  make_room
  all_are_there 100 small/out
  same <(sqlite3 farm.db 'SELECT count(*) FROM result') <(echo 100)
}

@test "the job log's disk is full" {
  small_disk 400K 396K
  farm 100 --joblog small/log
  is_full 'cannot write to small/log: No space left on device'
  make_room
  all_are_there 100
  one_each <("${inside[@]}" cut -f1 small/log | tail -n +2) 100
}

@test "the store's disk is full, and the sink is killed and started again meanwhile" {
  small_disk 12m 10m
  farm 150 --store small/farm.db
  is_full 'cannot write to the store small/farm.db: '
  "${inside[@]}" sqlite3 -readonly small/farm.db 'SELECT seq FROM result' >stored
  (($(wc -l <stored) > 0))
  send KILL sink
  ends sink 5 137
  cp log log.before
  mv sink.out sink.out.before # a pipe or a terminal cannot be cut back
  make_room
  start sink "${inside[@]}" zfarm-sink --connect "$control" --bind "$results" --store small/farm.db
  ends sink 30 0
  ends ventilator 10 0
  ends worker 10 0
  says sink.err '150 tasks: 150 ok, 0 failed, 0 lost'
  same <("${inside[@]}" sqlite3 small/farm.db 'SELECT count(*), min(seq), max(seq) FROM result') <(echo '150|1|150')
  # Neither what was stored nor what the worker had kept ran again.
  same <(sort -n log) <(seq 150)
}

@test "the disk of -k is full" {
  small_disk 40m 39m
  farm_places
  seq 1000 >tasks
  start ventilator zfarm-ventilator --bind "$control" -a tasks
  start sink "${inside[@]}" zfarm-sink --connect "$control" --bind "$results" -k --tmpdir small
  worker worker -j2 --shell 'while [ {} = 1 -a ! -e go ]; do sleep 0.05; done; echo {}
    head -c 20000 /dev/zero | tr "\0" x; echo'
  is_full 'No space left on device'
  make_room
  wait_for 20 goes_on
  touch go
  all_are_there 1000
  same <(grep -v x sink.out) tasks
}

@test "the disk for large results is full at the sink" {
  small_disk 8m 8m
  farm_places
  start ventilator zfarm-ventilator --bind "$control" ::: 1 2 3
  start sink "${inside[@]}" zfarm-sink --connect "$control" --bind "$results" --tmpdir small
  worker worker -j2 --shell 'head -c 3000000 /dev/zero | tr "\0" x; echo {}'
  is_full 'waits for room for a large result: '
  make_room
  ends sink 30 0
  ends ventilator 10 0
  ends worker 10 0
  same <(awk '{ print length }' sink.out) <(printf '3000001\n%.0s' 1 2 3)
}

@test "the worker's disk for large outputs is full: that task has failed, and says why" {
  small_disk 4m 4m
  farm_places
  start ventilator zfarm-ventilator --bind "$control" ::: 10 3000000 20
  sink --format jsonl
  start worker "${inside[@]}" zfarm-worker --connect "$control" -j1 --tmpdir small \
    --shell 'head -c {} /dev/zero | tr "\0" x'
  ends sink 30 1
  ends ventilator 10 1
  ends worker 10 0
  same <(jq -r 'select(.status == "ok").task' sink.out | sort) <(printf '10\n20\n')
  jq -r 'select(.status != "ok").stderr' sink.out >why
  says why 'its output could not be kept in small: '
  says why 'No space left on device'
}
