# SPDX-License-Identifier: MPL-2.0
# shellcheck shell=bash
# What the scenarios share: programs in the background by name, waiting for events with a deadline,
# free ports, and a teardown that lets nothing live on. A scenario file begins with `load helpers`.
#
# Each test runs in a directory of its own, $BATS_TEST_TMPDIR, with the programs first in PATH. What
# a program started as NAME writes is in NAME.out and NAME.err there.

bats_require_minimum_version 1.5.0

declare -gA pid_of=() # the programs that were started, by name

setup() {
  local bin=${ZFARM_BIN:?must name the directory of the programs, as meson test and ./dev test do}
  PATH=$(realpath -m "$bin"):$PATH
  cd "$BATS_TEST_TMPDIR" || return
  # So that what a killed program leaves there goes with the test.
  export TMPDIR=$PWD
  unset XDG_RUNTIME_DIR
  # Found in /proc/PID/environ of all that this test starts, even of what left its process group.
  export SCENARIO_MARK=$$-$BATS_TEST_NUMBER-$RANDOM$RANDOM
  # A sanitizer's report goes to a file, so that it fails a test that does not look at stderr. (The
  # undefined behaviour sanitizer ignores log_path when it runs next to the address sanitizer.)
  export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}log_path=$PWD/sanitizer
  export UBSAN_OPTIONS=${UBSAN_OPTIONS:+$UBSAN_OPTIONS:}halt_on_error=1
}

teardown() {
  local verdict=0
  stop_all 10
  no_process_is_left 5 || verdict=1
  no_sanitizer_report || verdict=1
  [[ -n ${BATS_TEST_COMPLETED:-} && $verdict == 0 ]] || show_files
  return "$verdict"
}

# start NAME COMMAND...: runs COMMAND in the background, its stdin from /dev/null.
start() { start_reading /dev/null "$@"; }

# start_reading FILE NAME COMMAND...: the same with its stdin from FILE.
start_reading() {
  local file=$1 name=$2
  shift 2
  "$@" <"$file" >"$name.out" 2>"$name.err" 3>&- & # bats waits for whoever holds descriptor 3
  pid_of[$name]=$!
}

is_running() { kill -0 "${pid_of[$1]}" 2>/dev/null; }

has_ended() { ! is_running "$1"; }

# send SIGNAL NAME: to the program that was started as NAME.
send() { kill -s "$1" "${pid_of[$2]}"; }

# send_again SIGNAL NAME: the same once more, when the first was obeyed. The same signal within 5 ms counts as the one
# before (a process and its group were told), and the program may have been that quick.
send_again() {
  sleep 0.01
  send "$@"
}

# wait_for SECONDS COMMAND...: until COMMAND succeeds; fails, with words, if it has not by then.
wait_for() {
  local deadline=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000)) seconds=$1
  shift
  until "$@"; do
    if ((${EPOCHREALTIME/[.,]/} > deadline)); then
      echo "not within $seconds s: $*"
      return 1
    fi
    sleep 0.02
  done
}

# ends NAME SECONDS STATUS: NAME ends within SECONDS, and with STATUS.
ends() {
  local status=0
  wait_for "$2" has_ended "$1" || return
  wait "${pid_of[$1]}" || status=$?
  unset "pid_of[$1]"
  ((status == $3)) || {
    echo "$1 ended with $status instead of $3"
    return 1
  }
}

# says FILE TEXT: FILE holds TEXT (so far).
says() { grep -qF -- "$2" "$1" 2>/dev/null; }

# lines_reach FILE COUNT: FILE has COUNT lines or more (so far).
lines_reach() { [[ -e $1 ]] && (($(wc -l <"$1") >= $2)); }

# same FILE FILE: they are equal byte for byte; shows where they are not.
same() { cmp "$1" "$2" || { diff "$1" "$2" | head -n 20; return 1; }; }

port_is_free() {
  local hex
  printf -v hex %04X "$1"
  ! cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -qE "^ *[0-9]+: [0-9A-F]+:$hex "
}

# free_ports COUNT: prints the first of COUNT ports in a row that nobody uses, outside the range
# from which the kernel picks ports for outgoing connections.
free_ports() {
  local first next tries
  for ((tries = 0; tries < 100; tries++)); do
    first=$((20000 + RANDOM % 12000))
    for ((next = first; next < first + $1; next++)); do
      port_is_free "$next" || continue 2
    done
    echo "$first"
    return
  done
  echo "found no $1 free ports in a row" >&2
  return 1
}

# --- the end of a test ---

# stop_all SECONDS: TERM for all that was started and still runs, then KILL for what does not obey.
stop_all() {
  local name
  for name in "${!pid_of[@]}"; do
    { send CONT "$name" && send TERM "$name"; } 2>/dev/null || true
  done
  for name in "${!pid_of[@]}"; do
    wait_for "$1" has_ended "$name" || send KILL "$name"
  done
}

# The pids of all processes that this test started, directly or not.
marked_processes() {
  local mark=SCENARIO_MARK=${SCENARIO_MARK:?} pid
  SCENARIO_MARK='' grep -lzxF -- "$mark" /proc/[0-9]*/environ 2>/dev/null |
    while IFS=/ read -r _ _ pid _; do
      echo "$pid"
    done
}

nothing_is_marked() { [[ -z $(marked_processes) ]]; }

# no_process_is_left SECONDS: a killed program's children may take a moment to follow it. What is
# still there then is told of, and killed.
no_process_is_left() {
  wait_for "$1" nothing_is_marked >/dev/null && return 0
  local pid
  for pid in $(marked_processes); do
    echo "still running: $pid $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)"
    kill -s KILL "$pid" 2>/dev/null || true
  done
  return 1
}

no_sanitizer_report() {
  local file verdict=0
  for file in "$BATS_TEST_TMPDIR"/{sanitizer.*,*.err}; do
    grep -sqE ': runtime error: |Sanitizer: ' "$file" || continue
    verdict=1
    cat "$file"
  done
  return "$verdict"
}

show_files() {
  local file
  for file in "$BATS_TEST_TMPDIR"/*.{out,err}; do
    [[ ! -s $file ]] || { echo "--- the end of ${file##*/}"; tail -n 20 "$file"; }
  done
}
