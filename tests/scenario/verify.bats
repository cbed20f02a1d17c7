#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# zfarm verify: what a store has, against what it should have.
# shellcheck disable=SC2016,SC2154 # the quoted variables are the tasks' own; helpers.bash sets pid_of
load helpers
load farm

# verify STATUS [ARGUMENT...]: its report is in verify.out.
verify() {
  local expected=$1
  shift
  start verify zfarm verify "$@"
  ends verify 20 "$expected"
}

# a_store COUNT: a job of COUNT numbers, each printed, that came to its end.
a_store() {
  seq "$1" >tasks
  start farm zfarm run -k -o out --store farm.db --shell 'echo {}' :::: tasks
  ends farm 90 0
}

delete() { sqlite3 farm.db "DELETE FROM task_result WHERE seq IN ($1)"; }

@test "a job that is complete: all is there, with its input and without it" {
  a_store 50
  cp farm.db before.db
  verify 0 farm.db
  says verify.out 'given: 50 tasks'
  says verify.out 'results: 50 (50 ok, 0 failed, 0 lost)'
  says verify.out 'missing: 0'
  says verify.out 'double: 0 (late attempts dropped: 0)'
  says verify.out 'closed: yes'
  for input in 'farm.db tasks' '-a tasks farm.db' 'farm.db :::: tasks'; do
    # shellcheck disable=SC2086 # these are words
    verify 0 $input
    says verify.out 'given: 50 tasks in the input'
    says verify.out 'differing: 0'
    says verify.out 'all is there'
  done
  same farm.db before.db
  [[ ! -e farm.db-wal && ! -e farm.db-shm ]]
}

@test "what failed has a result, and is told by its status" {
  start farm zfarm run --store farm.db --shell ::: true false 'kill -9 $$' 'exit 4'
  ends farm 20 3
  verify 0 farm.db
  says verify.out 'results: 4 (1 ok, 2 failed, 1 signaled, 0 lost)'
}

@test "a job that was killed in the middle is not complete, and says what is missing" {
  seq 200 >tasks
  start farm zfarm run -j2 --store farm.db --shell 'echo {} >>log; sleep 0.02' :::: tasks
  wait_for 10 lines_reach log 30
  kill -KILL "${pid_of[farm]}"
  ends farm 5 137
  wait_for 5 nothing_is_marked
  results=$(sqlite3 farm.db 'SELECT count(*) FROM result')
  verify 1 farm.db tasks
  says verify.out 'given: 200 tasks in the input'
  says verify.out "results: $results ($results ok, 0 failed, 0 lost)"
  says verify.out "missing: $((200 - results)), the first is task"
  says verify.out 'closed: no, the job was interrupted'
  verify 1 farm.db
  says verify.out 'given: at least'
  verify 1 --missing farm.db tasks
  cp verify.out rest
  (($(wc -l <rest) == 200 - results))
  start farm zfarm run --store farm.db --other-command --shell : :::: tasks
  ends farm 20 0
  verify 0 farm.db tasks
  says verify.out 'closed: yes'
}

@test "a job that was stopped before the end of its input is closed, and not complete" {
  mkfifo pipe
  start feeder bash -c 'exec >pipe; echo 1; echo 2; exec sleep 60'
  start_reading pipe farm zfarm run --store farm.db --shell 'echo {} >>log'
  wait_for 10 lines_reach log 2
  send INT farm
  ends farm 10 255
  verify 1 farm.db
  says verify.out 'missing: 0'
  says verify.out 'closed: yes, it was stopped and its input not read to the end'
  verify 0 farm.db ::: 1 2
  verify 1 farm.db ::: 1 2 3
}

@test "a row that was deleted is missing, and can be run again by what --missing prints" {
  a_store 30
  delete '3, 17'
  verify 1 farm.db
  says verify.out 'missing: 2, the first is task 3'
  verify 1 --missing farm.db tasks
  same verify.out <(printf '3\n17\n')
  says verify.err 'missing: 2, the first is task 3'
  zfarm verify --missing farm.db tasks 2>told | zfarm run -k echo >again
  same again <(printf '3\n17\n')
  verify 255 --missing farm.db
  says verify.err '--missing needs the job'
}

@test "--missing prints tasks as they can be read again: values, columns, ends with NUL" {
  seq 7 >tasks
  start farm zfarm run -n3 --store farm.db echo :::: tasks
  ends farm 20 0
  delete '1, 3'
  verify 1 -n3 --missing farm.db tasks
  same verify.out <(printf '1\n2\n3\n7\n')
  rm farm.db
  printf 'a b\0c d\0' >tasks
  start farm zfarm run -0 --colsep ' ' --store farm.db echo :::: tasks
  ends farm 20 0
  delete 2
  verify 1 -0 --colsep ' ' --missing farm.db tasks
  same verify.out <(printf 'c\td\0')
}

@test "another input: what differs, what is missing, what is behind its end" {
  a_store 10
  sed 's/^4$/four/; s/^8$/eight/' tasks >other
  verify 1 farm.db other
  says verify.out 'differing: 2, the first is task 4, which is four in the input'
  seq 12 >other
  verify 1 farm.db other
  says verify.out 'missing: 2, the first is task 11'
  says verify.out 'closed: yes, with 10 tasks'
  seq 8 >other
  verify 1 farm.db other
  says verify.out 'behind the end: 2, the first is task 9'
  verify 1 -n2 farm.db tasks
  says verify.out 'differing: 5, the first is task 1, which is 1 2 in the input'
}

@test "a store that a sink has open can be read, and the job is told to be running" {
  seq 100 >tasks
  start farm zfarm run -j1 --store farm.db \
    --shell 'echo {} >>log; until [ {} -lt 50 -o -e go ]; do sleep 0.02; done' :::: tasks
  wait_for 10 lines_reach log 50
  stored() { (($(sqlite3 -readonly farm.db 'SELECT count(*) FROM result') == 49)); }
  wait_for 10 stored
  verify 1 farm.db tasks
  says verify.out 'results: 49 (49 ok'
  says verify.out 'missing: 51, the first is task 50'
  says verify.out 'closed: no, the job is still running'
  : >go
  ends farm 20 0
  verify 0 farm.db tasks
}

@test "what is no store cannot be read: 255, with words" {
  verify 255 farm.db
  says verify.err 'cannot read the store farm.db: No such file'
  [[ ! -e farm.db ]]
  echo 'this is a text and no database, long enough to be looked at' >text
  verify 255 text
  says verify.err 'text is no store of zfarm'
  : >empty
  verify 255 empty
  says verify.err 'empty is no store of zfarm: it is empty'
  sqlite3 other.db 'CREATE TABLE mine (a)'
  verify 255 other.db
  says verify.err 'other.db is no store of zfarm but another SQLite database'
  a_store 3
  verify 255 farm.db nowhere
  says verify.err 'cannot read tasks from nowhere'
  sqlite3 farm.db 'PRAGMA user_version = 99'
  verify 255 farm.db
  says verify.err 'was made by a newer zfarm'
  verify 255
  says verify.err 'it takes a store'
}

@test "a damaged store is told to be damaged: 255" {
  a_store 2000
  cp farm.db whole.db
  pages=$(sqlite3 farm.db 'PRAGMA page_count')
  for page in 2 $((pages / 2)) $((pages - 1)); do
    cp whole.db farm.db
    dd if=/dev/urandom of=farm.db bs=4096 seek="$page" count=1 conv=notrunc status=none
    verify 255 farm.db tasks
    says verify.err 'damaged'
  done
  truncate -s "$((pages * 2048))" farm.db
  verify 255 farm.db
  says verify.err 'malformed'
}

@test "a stored task that cannot be decoded, or has not its hash, differs, with an input and without" {
  start farm zfarm run -n2 --store farm.db echo ::: a b c d
  ends farm 20 0
  cp farm.db whole.db
  for damage in 'hash = zeroblob(16)' 'hash = randomblob(16)' "task = 'other', record = NULL" "record = x'ff'" \
    'hash = NULL'; do
    cp whole.db farm.db
    sqlite3 farm.db "UPDATE task_result SET $damage WHERE seq = 2"
    verify 1 farm.db
    says verify.out 'differing: 1, the first is task 2'
    verify 1 -n2 farm.db ::: a b c d
    says verify.out 'differing: 1, the first is task 2'
    run ! grep -qx 'all is there' verify.out
  done
}
