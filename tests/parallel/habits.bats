#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# GNU parallel and `zfarm run` side by side: the same words, the same output and status. What differs on purpose
# (README, Coming from GNU parallel) is not here. `./dev parallel` runs this.
# shellcheck disable=SC2016 # the quoted variables are the tasks' own
load ../scenario/helpers

# both WORD...: runs `parallel WORD...` and `zfarm run --shell WORD...` on the file `input`.
both() {
  local theirs=0 ours=0
  timeout 60 parallel --will-cite "$@" <input >theirs.out 2>theirs.err 3>&- || theirs=$?
  timeout 60 zfarm run --shell "$@" <input >ours.out 2>ours.err 3>&- || ours=$?
  same theirs.out ours.out || { echo "$*"; return 1; }
  ((theirs == ours)) || { echo "parallel ended with $theirs, zfarm with $ours: $*"; return 1; }
}

# begin TEXT: writes TEXT, with the escapes of printf, as the file `input`.
begin() { printf %b "$1" >input; }

@test "columns and --trim" {
  begin 'baz \t quux\n'
  both -k --colsep '\t' printf '"<%s>\n"' '{1}' '{2}'
  for trim in n l r; do
    both -k --trim "$trim" --colsep '\t' printf '"<%s>\n"' '{1}' '{2}'
  done
  begin '  a  \n \t \nb\r\n'
  for trim in n l r lr rl; do
    both -k --trim "$trim" 'echo [{}] | od -c'
  done
}

@test "columns that are not there, and empty ones" {
  begin 'a%b\na%%c\n%\n'
  both -k --colsep % printf '"[%s]\n"' '{1}' '{2}' '{3}'
  both -k --colsep % echo 'x{3}y' '{-1}'
  both -k -n 2 'printf "[%%s]" {1} {2}; echo'
}

@test "{} as the command itself" {
  begin 'ls /bin/true\necho a; echo b\n'
  both -k '{}'
  both -k '{} # {#}'
  both -k
  begin 'a  b\n'
  both -k 'echo {}'
  both -k 'V={} sh -c "echo \$V"'
  both '{1} {2}' ::: 'echo x' ::: 'y  z'
  both 'e{1} {2}' ::: 'cho x' ::: 'y  z'
}

@test "--halt with a count of 1" {
  begin ''
  for _ in 1 2 3; do
    both -k -j1 --halt now,fail=1 'echo {}; exit {}' ::: 0 0 7 0
    both -k -j1 --halt soon,fail=1 'echo {}; exit {}' ::: 0 7 0 8
    both -k -j1 --halt now,success=1 'echo {}; exit {}' ::: 3 0 4
    both -k -j2 --halt soon,fail=1 'echo {}; sleep 0.{}; exit {}' ::: 0 0 2 4 5
  done
}

@test "--joblog - has the same lines" {
  begin ''
  timeout 60 parallel --will-cite -j1 --joblog - 'echo {}; exit {}' ::: 0 3 >theirs.out 2>/dev/null || true
  timeout 60 zfarm run --shell -j1 --joblog - 'echo {}; exit {}' ::: 0 3 >ours.out || true
  same <(grep -P '\t' theirs.out | cut -f1,7-9) <(grep -P '\t' ours.out | cut -f1,7-9)
}
