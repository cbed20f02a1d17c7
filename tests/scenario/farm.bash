# SPDX-License-Identifier: MPL-2.0
# shellcheck shell=bash
# shellcheck disable=SC2016,SC2154 # a quoted variable is another shell's; pid_of is in helpers.bash
# A farm that is started by hand, program by program, over TCP on free ports of this machine. A file
# that uses it says `load farm` after `load helpers`.

# farm_places: chooses where the farm of this test is, without starting anything.
farm_places() {
  local port
  port=$(free_ports 3) || return
  control=tcp://127.0.0.1:$port
  results=tcp://127.0.0.1:$((port + 2))
}

# ventilator INPUT [OPTION...]
ventilator() {
  local input=$1
  shift
  start_reading "$input" ventilator zfarm-ventilator --bind "$control" "$@"
}

# sink [OPTION...]: what it prints is in sink.out.
sink() { start sink zfarm-sink --connect "$control" --bind "$results" "$@"; }

# worker NAME [OPTION...] -- COMMAND...
worker() {
  local name=$1
  shift
  start "$name" zfarm-worker --connect "$control" --name "$name" "$@"
}

# is_sanitized: the programs were built with the address sanitizer.
is_sanitized() { nm -D "$(command -v zfarm-worker)" | grep -q asan; }

# held FILE: makes `held`, an input for the ventilator that is FILE and does not end before let_go: so
# that no worker that is slow to start finds the job over.
held() {
  mkfifo held go
  start feeder bash -c 'exec >held; cat "$1"; read -r <go' feeder "$1"
}

let_go() { echo >go; }

# workers_are COUNT: so many are in, says the progress line of a sink that was started with --bar.
workers_are() { [[ $(tail -c 80 sink.err) == *", $1 worker"* ]]; }

# summary_is FILE WORDS: the last line of FILE is the summary, and begins with WORDS.
summary_is() {
  [[ $(grep -E '^([^ ]+: )?[0-9]+ tasks?: ' "$1" | tail -n 1) =~ ^([^ ]+:\ )?"$2" ]] || {
    echo "no summary '$2' in $1"
    return 1
  }
}

# one_each FILE COUNT: FILE is the numbers from 1 to COUNT, in any order, each once.
one_each() { same <(sort -n "$1") <(seq "$2"); }

# children_of PID: the pids of its children.
children_of() { cat "/proc/$1/task/$1/children" 2>/dev/null; }

# nothing_was_cut: no program of this test took a connection or another program for dead.
nothing_was_cut() {
  run ! grep -E 'is silent|is there, but|does not reach the sink|has arrived|asked back|made anew|has answered' ./*.err
}

# child_of NAME PROGRAM: prints the pid of the child PROGRAM of what was started as NAME.
child_of() {
  local pid
  for pid in $(children_of "${pid_of[$1]}"); do
    [[ $(readlink "/proc/$pid/exe") != */"$2" ]] || echo "$pid"
  done
}

has_child() { [[ -n $(child_of "$@") ]]; }

# plugin NAME [LIBRARY...]: compiles examples/NAME.c, or NAME.c of this directory, to NAME.so.
plugin() {
  local root=$BATS_TEST_DIRNAME/../.. source
  source=$root/examples/$1.c
  [[ ! -e $1.c ]] || source=$1.c
  "${CC:-cc}" -shared -fPIC -I "$root/include" -o "$1.so" "$source" "${@:2}"
}
