#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# count.bash BUILD [--accept]: how many instructions ventilator, worker and sink each take for a tiny task, by
# callgrind, against what is written in `expected` here, with a tenth to spare; --accept writes that anew. The programs
# are the first in PATH. Unlike times, counts hardly depend on how busy the machine is; but how full the batches are is
# a little by chance, so that the ventilator's are within a fifth of each other: what seems too much is counted again,
# up to three times. Another compiler or other options make other counts.
#
# Each program is counted in a farm whose other programs run as always, once with few tasks and once with many: what
# the many take more, by task, is free of starting and ending. `./dev instructions` builds all that this needs.
set -euo pipefail
cd "$(dirname "$0")/../.."
export LC_ALL=C

build=$(realpath "$1")
expected=$PWD/tests/instructions/expected
few=100000 many=300000 # tasks
limit_s=120            # for a program that should take some seconds
passed=0 failed=0 started=()

place=$(mktemp -d)
counts=$(mktemp)
trap 'end_started; rm -rf "$place" "$counts"' EXIT

end_started() {
  ((${#started[@]} == 0)) || kill "${started[@]}" 2>/dev/null || true
}

die() {
  printf 'instructions: %s\n' "$*" >&2
  exit 1
}

# program NAME WORDS...: runs zfarm-NAME, under callgrind if it is to be counted.
program() {
  local name=$1 under=()
  shift
  [[ $name != "$counted" ]] || under=(env LD_PRELOAD="$build/tests/instructions/self.so"
    valgrind --tool=callgrind --callgrind-out-file="$place/callgrind" --log-file="$place/valgrind")
  timeout -k 10 "$limit_s" "${under[@]}" "zfarm-$name" "$@"
}

# count NAME TASKS: prints the instructions of zfarm-NAME in a job of so many. One slot: with two the worker's count
# depends on which of them is sooner.
count() {
  local counted=$1
  rm -f "$place"/*
  seq "$2" >"$place/tasks"
  program sink --connect "ipc://$place/control" --bind "ipc://$place/results" -o "$place/results.txt" \
    2>"$place/words" &
  started=($!)
  program worker --connect "ipc://$place/control" -j1 --plugin "$build/examples/multiply.so" 2 2>"$place/worker" &
  started+=($!)
  program ventilator --bind "ipc://$place/control" --lanes "ipc://$place/gate" <"$place/tasks" 2>"$place/ventilator" ||
    die "the ventilator failed: $(cat "$place/ventilator")"
  wait "${started[@]}" || die "sink or worker failed: $(cat "$place/worker" "$place/words")"
  started=()
  [[ $(tail -n 1 "$place/words") == "$2 tasks: $2 ok, "* ]] || die "not all tasks are ok: $(cat "$place/words")"
  sed -n 's/^totals: //p' "$place/callgrind"
}

# per_task NAME
per_task() {
  local less more
  less=$(count "$1" "$few")
  more=$(count "$1" "$many")
  ((more > less)) || die "callgrind has counted nothing of the $1"
  echo $(((more - less) / (many - few)))
}

# compare NAME COUNT: fails if that is too much.
compare() {
  local before
  before=$(sed -n "s/^$1 //p" "$expected")
  if (($2 * 10 > before * 11)); then
    echo "not ok: $1 takes $2 instructions for a tiny task, was $before"
    return 1
  elif (($2 * 11 < before * 10)); then
    echo "ok: $1 takes only $2 instructions for a tiny task, was $before; ./dev instructions --accept keeps that"
  else
    echo "ok: $1 takes $2 instructions for a tiny task, was $before"
  fi
}

# check NAME: prints what it takes, compared with what is expected.
check() {
  local turns=3 words
  until words=$(compare "$1" "$(per_task "$1")") || ((--turns == 0)); do :; done
  echo "$words"
  [[ $words == ok* ]]
}

for name in ventilator worker sink; do
  if [[ ${2-} == --accept ]]; then
    printf '%s %d\n' "$name" "$(per_task "$name")" >>"$counts"
  elif check "$name"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
  fi
done
if [[ ${2-} == --accept ]]; then
  tee "$expected" <"$counts"
else
  echo "$passed passed, $failed failed"
  ((failed == 0))
fi
