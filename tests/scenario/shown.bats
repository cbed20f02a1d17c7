#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# What a user or a peer made up, in what people read: nothing in it steers a terminal.
# shellcheck disable=SC2154 # farm.bash sets them
load helpers
load farm

# What some terminals obey: ESC, CSI of two bytes and of one, a carriage return.
evil=$'A\033[2J\302\23331m\2332J\rB'
tamed='A?[2J?31m?2J?B'

# harmless FILE...: no control but the end of a line, and a tab, is in them.
harmless() {
  local file
  for file; do
    LC_ALL=C run ! grep -qaP '[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]' "$file"
    run ! says "$file" $'m\2332J'
  done
}

@test "a worker's name: in the lines of all programs, in zfarm why, in the joblog and in JSON" {
  farm_places
  ventilator <(echo 1)
  sink --joblog joblog --format jsonl
  start worker zfarm-worker --connect "$control" --name "$evil" -j1 -- \
    sh -c 'echo >>begun; until [ -e go ]; do sleep 0.05; done'
  wait_for 15 test -s begun
  why_tells() { timeout 10 zfarm why --connect "$control" >why.out && says why.out "running on $tamed"; }
  wait_for 15 why_tells
  send STOP worker # said when it is not heard for 3 s
  wait_for 15 says ventilator.err "$tamed"
  send KILL worker
  start other zfarm-worker --connect "$control" --name "$evil" -j1 -- true
  ends sink 20 0
  ends ventilator 20 0
  ends other 20 0
  touch go
  harmless ventilator.err sink.err other.err why.out sink.out joblog
  [[ $(cut -f2 joblog | sed -n '2{p;q}') == "$tamed" ]]
}

@test "options, words and names of files that are refused; a task that differs" {
  run -255 --separate-stderr zfarm run --store store.db "$evil" ::: 1
  echo "$stderr" >err.1
  run -255 --separate-stderr zfarm run --jobs="$evil" echo ::: 1
  echo "$stderr" >err.2
  run -255 --separate-stderr zfarm "$evil"
  echo "$stderr" >err.3
  run -255 --separate-stderr zfarm run -a "$evil" -- echo
  echo "$stderr" >err.4
  local at
  for at in 1 2 3 4; do says "err.$at" "$tamed"; done
  harmless err.{1,2,3,4}
  zfarm run --store job.db -- true {} ::: 1 2 2>/dev/null
  printf '1\n%s\n' "$evil" >changed
  run -1 --separate-stderr zfarm verify job.db changed
  echo "$output" >verify.out
  says verify.out "which is $tamed in the input"
  harmless verify.out
}

@test "the command in the joblog is that of GNU parallel: as it was run, but for its newlines" {
  zfarm run --joblog joblog -- echo {} ::: $'a\tb' $'c\nd' $'e\033f' 2>err >out
  same <(tail -n +2 joblog | cut -f1,9- | sort -n | cut -f2-) \
    <(printf 'echo %s\n' $'\'a\tb\'' "'c"$'\n'"d'" $'\'e\033f\'' | sed -z "s/c\nd/c\x01d/" | tr '\1' '\0')
}
