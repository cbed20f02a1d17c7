#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# compare.bash BUILD_DIR [TURNS [COUNT [JOBS]]]: the command executor against a bare spawn loop, in
# turns, so that whatever else the machine does falls on both. Both run the same command: the
# executor appends the task, which is 1, and /bin/true takes longer with an argument than without.
set -euo pipefail
build=$1 turns=${2:-10} count=${3:-500} jobs=${4:-2}
ninja -C "$build" bench/spawn/bare_spawn bench/spawn/exec_loop > /dev/null
for ((turn = 0; turn < turns; turn++)); do
  echo "$("$build/bench/spawn/bare_spawn" "$jobs" "$count" /bin/true 1)" \
    "$("$build/bench/spawn/exec_loop" "$jobs" "$count" /bin/true)"
done | awk '{ bare += 1 / $1; executor += 1 / $4 } END {
  printf "bare %.0f/s, executor %.0f/s, ", NR / bare, NR / executor
  printf "ratio %.3f\n", bare / executor }'
