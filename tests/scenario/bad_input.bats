#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# Whatever a person gives it: a clear message, the right status, and an end.
load helpers
load farm

# farm SECONDS STATUS ARGUMENT...: zfarm run ends so; its input is the file `in`.
farm() {
  local seconds=$1 status=$2
  shift 2
  [[ -e in ]] || : >in
  start_reading in run zfarm run "$@"
  ends run "$seconds" "$status"
}

@test "an input file that is missing is named" {
  farm 20 255 -a missing -- echo
  says run.err "cannot read tasks from missing: No such file"
}

@test "an input file that is a directory is named" {
  farm 20 255 -a . -- echo
  says run.err "cannot read tasks from .: it is a directory"
}

@test "an empty input is no task and a success" {
  farm 20 0 -- echo
  says run.err "0 tasks: 0 ok"
  [[ ! -s run.out ]]
}

@test "an empty input ends without a worker" {
  port=$(free_ports 3)
  start ventilator zfarm-ventilator --bind "tcp://127.0.0.1:$port"
  start sink zfarm-sink --connect "tcp://127.0.0.1:$port" --bind "tcp://127.0.0.1:$((port + 2))"
  ends ventilator 20 0
  ends sink 20 0
  says sink.err "0 tasks: 0 ok"
}

@test "a last line without newline is a task" {
  printf 'a\nb' >in
  farm 20 0 -k -- echo
  same run.out <(printf 'a\nb\n')
}

@test "bytes that are not UTF-8 arrive as they are" {
  printf '\377\376\n' >in
  farm 20 0 -- echo
  same run.out in
}

@test "a NUL in a line fails that task alone, with the reason" {
  printf 'a\nb\0c\nd\n' >in
  farm 20 1 -k -- echo
  same run.out <(printf 'a\nd\n')
  says run.err "task 2 failed: no command can be made of it"
}

@test "a line that is longer than --task-max fails alone, with the reason" {
  { echo a; printf '%02000d\n' 0; echo b; } >in
  farm 20 1 -k --task-max 1000 -- echo
  same run.out <(printf 'a\nb\n')
  says run.err "task 2 failed: the task is longer than --task-max, which is 1000 bytes"
  farm 20 0 --task-max 1000 --dry-run -- echo
  says run.err "task 2 is longer than --task-max, which is 1000 bytes"
}

@test "CR LF and a byte-order mark are passed on, and one hint is given when a task fails" {
  printf '\357\273\277a\r\nb\r\n' >in
  farm 20 0 -k -- printf '%s\n'
  same run.out in
  run ! grep -q hint run.err
  farm 20 2 -k -- ls
  (($(grep -c 'hint: the input begins with a byte-order mark and has lines that end with CR LF' run.err) == 1))
  farm 20 2 --quiet -- ls
  run ! grep -q hint run.err
  printf 'a\nb\r\n' >in
  farm 20 2 -k -- ls
  run ! grep -q hint run.err
}

@test "a command that is not found is told once, not for each task" {
  seq 1000 >in
  farm 20 255 -- no-such-command
  says run.err "no-such-command is not on PATH"
  (($(wc -l <run.err) == 1))
}

@test "a command in one word with blanks is corrected" {
  farm 20 255 -- 'echo hello' ::: 1
  says run.err "zfarm run --shell 'echo hello'"
}

@test "a command that reads stdin finds it empty" {
  printf 'a\nb\n' >in
  farm 20 0 -k --shell 'cat; echo {}'
  same run.out in
}

@test "a child that keeps a task's stdout does not hold up the run" {
  # shellcheck disable=SC2016 # the task's shell expands it
  farm 20 0 --shell 'sleep 60 & echo $! >child; echo {}' ::: a
  echo a | same run.out -
  kill "$(<child)" 2>/dev/null || true
}

@test "a task that writes 1 GiB fails at --output-max, in bounded memory" {
  # Nothing that is started may have more than 1 GiB of address space; without a bound it would.
  # The address sanitizer reserves terabytes.
  is_sanitized || ulimit -v 1048576
  farm 60 1 --output-max 1M --shell 'head -c 1G /dev/zero' ::: 1
  says run.err "task 1 failed: its output is larger than --output-max"
  (($(stat -c %s run.out) <= 1048576))
}

@test "a task that closes its stdout goes on" {
  farm 20 0 --shell 'echo {}; exec >&- 2>&-; : >closed' ::: a
  echo a | same run.out -
  [[ -e closed ]]
}

@test "a task that ignores TERM is killed after --kill-after" {
  farm 20 1 --timeout 0.3 --kill-after 0.2 --shell 'trap "" TERM
    while : {}; do sleep 0.05; done' ::: 1
  says run.err "task 1 failed: it ran longer than --timeout"
}

@test "a full disk is told, and a second signal ends the run" {
  start run zfarm run -o /dev/full -- echo ::: 1 2 3
  wait_for 20 says run.err "cannot write to /dev/full: No space left on device"
  is_running run
  [[ $(grep -o "nothing is lost" run.err | wc -l) == 1 ]]
  send TERM run
  wait_for 20 says run.err "stopping: what runs may finish"
  send INT run
  ends run 20 255
}

@test "the run goes on when a full disk has room again" {
  mkdir small
  unshare -rm true || skip "no mount namespaces here"
  # shellcheck disable=SC2016 # the inner shell expands it
  start run unshare -rm bash -c 'mount -t tmpfs -o size=64k none small || exit 99
    head -c 60K /dev/zero >small/ballast
    zfarm run -k -o small/out -- printf "%010000d\n" ::: 1 2 3 2>err &
    while ! grep -qs "No space left" err; do sleep 0.02; done
    rm small/ballast; wait $!; status=$?; cp small/out out; exit $status'
  ends run 30 0
  says err "there is room again"
  same out <(printf '%010000d\n' 1 2 3)
}

@test "the run ends when nobody reads its output" {
  mkfifo pipe
  seq 100000 >in
  start_reading in run bash -c 'exec zfarm run -- echo >pipe'
  head -n 1 pipe >first
  ends run 30 255
  [[ $(grep -c "whoever read it is gone" run.err) == 1 ]]
}

@test "a port that is in use is told" {
  port=$(free_ports 3)
  start first zfarm-ventilator --bind "tcp://127.0.0.1:$port" ::: 1
  wait_for 20 eval "! port_is_free $port"
  start second zfarm-ventilator --bind "tcp://127.0.0.1:$port" ::: 1
  ends second 20 255
  says second.err "$port"
  says second.err "another program already does"
}

@test "a ventilator that is not there is given up" {
  port=$(free_ports 3)
  start worker zfarm-worker --connect "tcp://127.0.0.1:$port" --give-up 1 -- echo
  start sink zfarm-sink --connect "tcp://127.0.0.1:$port" --bind "tcp://127.0.0.1:$((port + 2))" \
    --give-up 1
  ends worker 20 255
  ends sink 20 255
  says worker.err "127.0.0.1:$port"
  says sink.err "no ventilator for 1 s"
}

@test "an endpoint that is none is refused by each program" {
  start worker zfarm-worker --connect nonsense --give-up 1 -- echo
  start sink zfarm-sink --connect nonsense --give-up 1
  start ventilator zfarm-ventilator --bind nonsense ::: 1
  for name in worker sink ventilator; do
    ends "$name" 20 255
    says "$name.err" nonsense
  done
}

@test "a bind beyond this machine needs --insecure" {
  port=$(free_ports 3)
  start ventilator zfarm-ventilator --bind "tcp://0.0.0.0:$port" ::: 1
  start sink zfarm-sink --connect "tcp://127.0.0.1:$port" --bind "tcp://0.0.0.0:$((port + 2))"
  for name in ventilator sink; do
    ends "$name" 20 255
    says "$name.err" --insecure
  done
}

@test "a plugin file that is no plugin is told" {
  echo text >text.so
  farm 20 255 --plugin ./text.so ::: 1
  says run.err text.so
  (($(wc -l <run.err) == 1))
}

@test "an input file that may not be read is named" {
  ((EUID)) || command -v setpriv >/dev/null || skip "root may read all, and setpriv is not there"
  local as=()
  ((EUID)) || as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
  echo a >secret
  chmod 000 secret
  chmod 711 . ..
  start run "${as[@]}" env TMPDIR=/tmp zfarm run -a "$PWD/secret" -- echo
  ends run 20 255
  says run.err "secret: Permission denied"
  chmod 600 secret
}

# job_with COMMAND...: runs COMMAND while a job runs over TCP, and the job must not mind. The ports
# are then in $port (control), $((port + 1)) (lanes) and $((port + 2)) (results).
job_with() {
  port=$(free_ports 3)
  seq 200 >in
  at=tcp://127.0.0.1:$port
  start_reading in ventilator zfarm-ventilator --bind "$at"
  start sink zfarm-sink -k --connect "$at" --bind "tcp://127.0.0.1:$((port + 2))"
  start worker zfarm-worker --connect "$at" -j2 --shell 'until [ -e over ]; do sleep 0.02; done; echo {}'
  wait_for 20 eval "! port_is_free $((port + 2))"
  "$@"
  : >over
  for name in sink ventilator worker; do ends "$name" 30 0; done
  same sink.out in
}

wrong_sockets() {
  local type p
  needs_stranger
  for type in push pull dealer router req pub sub; do
    for ((p = port; p < port + 3; p++)); do
      start "$type-$p" "$ZFARM_STRANGER" "$type" "tcp://127.0.0.1:$p" 0100 48656c6c6f ''
    done
  done
  for type in push pull dealer router req pub sub; do
    for ((p = port; p < port + 3; p++)); do ends "$type-$p" 20 0; done
  done
}

needs_stranger() { [[ -x ${ZFARM_STRANGER:-} ]] || skip "ZFARM_STRANGER names no program"; }

@test "every type of ZeroMQ socket on every port does not disturb a job" {
  job_with wrong_sockets
}

# A JOIN as version 3 might have it: kind 1, version 3, and who knows what behind.
version_three() {
  local p
  needs_stranger
  for ((p = port; p < port + 3; p++)); do
    "$ZFARM_STRANGER" dealer "tcp://127.0.0.1:$p" "0103$(printf '%048d' 7)ffff" >"$p.answers" 3>&-
    "$ZFARM_STRANGER" push "tcp://127.0.0.1:$p" "0103$(printf '%048d' 7)ffff" 3>&-
  done
  # REFUSE of version 2 with reason 1, and a sentence that names both versions.
  grep -qE '^1502' "$port.answers"
  sed 's/../\\x&/g; q' "$port.answers" | xargs -0 printf |
    grep -aq 'speaks version 2 of the protocol.*version 3'
  says ventilator.err "refused a peer of another protocol version=3"
}

@test "a JOIN of another protocol version is refused with words, and does not disturb a job" {
  job_with version_three
}

random_bytes() {
  local p
  for _ in 1 2 3; do
    for ((p = port; p < port + 3; p++)); do
      head -c 4096 /dev/urandom 2>/dev/null >"/dev/tcp/127.0.0.1/$p" || true
    done
  done
}

@test "random bytes on every port do not disturb a job" {
  job_with random_bytes
}

@test "a bound on outputs that is none of its values, or more than a store or JSON takes, is refused" {
  farm 20 255 --output-max nine -- echo ::: 1
  says run.err "--output-max: 'nine' is not one of its values: it takes none, or a number of bytes"
  farm 20 255 --output-max none --store farm.db -- echo ::: 1
  says run.err "--store takes outputs of 256 MiB at most"
  [[ ! -e farm.db ]]
  farm 20 255 --output-max none --format jsonl -- echo ::: 1
  says run.err "--format jsonl takes outputs of 256 MiB at most"
}

@test "a bound on tasks that none can have, and a block above it, are refused" {
  farm 20 255 --task-max 2T -- echo ::: 1
  says run.err "--task-max: '2T' is too large: it takes 1073741824 at most"
  farm 20 255 --task-max none -- echo ::: 1
  says run.err "--task-max: 'none' is not one of its values: it takes a number of bytes"
  farm 20 255 --pipe --block 1025M -- cat :::: tasks
  says run.err "--block: '1025M' is too large"
  seq 3 >tasks
  farm 20 255 --pipe --block 2M --task-max 1M -- cat :::: tasks
  says run.err "--block 2097152 is more than a task may have, 1048576 bytes"
}
