#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# The progress line on a terminal that has output as well, and on one that has not.
# shellcheck disable=SC2016 # the quoted variables are the tasks' own
load helpers

# on_terminal COMMAND: in a terminal of its own, whose bytes go to the file typescript.
on_terminal() {
  command -v script >/dev/null || skip "script of util-linux is not here"
  start terminal script -qefc "$1" typescript
}

# shows PATTERN: a Perl pattern, of the bytes of the terminal without the ends of lines.
shows() { tr -d '\r\n' <typescript 2>/dev/null | grep -qaP -- "$1"; }

@test "the bar is drawn again as soon as there was output on its terminal" {
  on_terminal "zfarm run -j1 --bar --shell 'echo task-{}; until [ -e go{} ]; do sleep 0.05; done' ::: 1 2 3"
  touch go1
  wait_for 20 shows 'task-1\e\[K1/3 done'
  touch go2
  wait_for 20 shows 'task-2\e\[K2/3 done'
  touch go3
  ends terminal 20 0
}

@test "the bar is never cleared for output that goes elsewhere" {
  on_terminal "zfarm run -j1 --bar --shell 'echo task-{}; sleep 0.3' ::: 1 2 3 4 >elsewhere"
  ends terminal 20 0
  same elsewhere <(printf 'task-%s\n' 1 2 3 4)
  shows 'K1/4 done'
  run ! grep -qaP '\e\[K(\r|$)' typescript
}
