#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# What a crash in the middle leaves of a store: copies of its files, taken at any moment while a job runs with
# --durability full, open and have all that was committed before, so all that was acknowledged.
# shellcheck disable=SC2016 # the quoted variables are the tasks' own
load helpers
load farm

# stored FILE: how many results are in it.
stored() { sqlite3 -readonly "$1" 'SELECT count(*) FROM result'; }

# copy NAME: the store as a crash of the machine could leave it. The -shm is memory and is lost then.
copy() {
  cp farm.db "$1.db"
  cp farm.db-wal "$1.db-wal"
}

# is_sound COPY LEAST: it opens, and has so many results or more.
is_sound() {
  same <(sqlite3 "$1.db" 'PRAGMA integrity_check') <(echo ok)
  (($(stored "$1.db") >= $2))
}

@test "each copy of a store that stands still has all that was committed, and the job goes on from it" {
  local least=0 at
  seq 1500 >tasks
  start farm zfarm run -j2 --durability full --store farm.db \
    --shell 'echo {} >>log; head -c 3000 /dev/zero | tr "\0" x' :::: tasks
  wait_for 10 has_child farm zfarm-sink
  sink=$(child_of farm zfarm-sink)
  for at in {1..12}; do
    wait_for 20 lines_reach log $((at * 100 + RANDOM % 60))
    least=$(stored farm.db)
    kill -STOP "$sink" # wherever it is: between two writes of one transaction, too
    copy "$at"
    kill -CONT "$sink"
    is_sound "$at" "$least"
  done
  ends farm 60 0
  ((least > 0))
  start again zfarm run -j2 --store 6.db --other-command --shell 'echo {} >>log.again' :::: tasks
  before=$(stored 6.db)
  ends again 60 0
  same <(stored 6.db) <(echo 1500)
  (($(wc -l <log.again) <= 1500 - before))
}
