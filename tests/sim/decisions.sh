#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# decisions.sh SIMULATOR [COMMIT]: does the simulator that was built decide in each of the seeds 1 to 2,000 what that of
# COMMIT (HEAD) decides? For a change that is to keep the behaviour. Prints each seed that differs, the first 20 of
# them; ends with 1 if there is one. COMMIT must have the option --digests.
set -eu

simulator=$(realpath "$1")
commit=${2:-HEAD}
seeds=1-2000
cd "$(dirname "$0")/../.."
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT INT TERM

mkdir "$copy/src"
git archive "$commit" | tar -C "$copy/src" -xf -
meson setup "$copy/build" "$copy/src" >"$copy/log" 2>&1 || { cat "$copy/log"; exit 2; }
ninja -C "$copy/build" tests/sim/zfarm-sim >"$copy/log" 2>&1 || { cat "$copy/log"; exit 2; }
"$copy/build/tests/sim/zfarm-sim" --digests "$seeds" >"$copy/then"
"$simulator" --digests "$seeds" >"$copy/now"
differ=$(diff "$copy/then" "$copy/now" | sed -n 's/^> \([0-9]*\) .*/\1/p')
if [ -z "$differ" ]; then
    echo "seeds $seeds: the same decisions as in $(git rev-parse --short "$commit")"
    exit 0
fi
echo "seeds that decide otherwise than in $(git rev-parse --short "$commit"): $(echo "$differ" | wc -l), the first:"
echo "$differ" | head -n 20 | tr '\n' ' '
echo
exit 1
