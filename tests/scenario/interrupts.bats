#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# zfarm run is interrupted, and its programs are killed, at any moment; `./dev interrupts` does it a thousand times.
load helpers

@test "interrupted, or a program of it killed, at 25 moments from its first instruction to its last" {
  "${ZFARM_INTERRUPTS:?}" --programs "$ZFARM_BIN" --runs 25 --seed "${INTERRUPTS_SEED:-1}" --limit 20 >verdict.out || {
    cat verdict.out
    return 1
  }
}

@test "HUP is like TERM" {
  start farm zfarm run -j1 --shell 'echo {} >>log; sleep 0.5' ::: {1..50}
  wait_for 20 lines_reach log 1
  send HUP farm
  ends farm 20 255
  says farm.err 'stopping: what runs may finish'
  (($(wc -l <log) < 50))
}

@test "HUP that was ignored at the start, as by nohup, is ignored" {
  start farm bash -c 'trap "" HUP; exec zfarm run -j1 --shell "echo {} >>log; sleep 0.1" ::: {1..10}'
  wait_for 20 lines_reach log 1
  send HUP farm
  ends farm 30 0
  (($(wc -l <log) == 10))
}

@test "TERM does not wait for a sink that has no place to keep a large result, and its directory is named" {
  mkdir kept
  start farm zfarm run -j2 --tmpdir kept --kill-after 1 --shell 'until [ -e gone ]; do sleep 0.05; done
    head -c 3000000 /dev/zero' ::: 1 2 3 4
  wait_for 20 nothing_but_waits
  rm -r kept
  touch gone
  wait_for 20 says farm.err 'cannot make a temporary file in kept: No such file or directory'
  send TERM farm
  ends farm 15 255
  run ! grep -q 'wrote more than --output-max' farm.err
}

# Both tasks wait for the file.
nothing_but_waits() { (($(grep -lzxF "SCENARIO_MARK=$SCENARIO_MARK" /proc/[0-9]*/environ 2>/dev/null | wc -l) >= 6)); }
