#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# A test of the simulator: plants the bugs of planted/*.patch, one at a time, into a copy of the
# sources, and each must be found within so many seeds. Bugs can be named by their patches.
#
#   tests/sim/planted.sh [--seeds N] [NAME ...]
set -eu

seeds=3000
if [ "${1:-}" = --seeds ]; then
    seeds=$2
    shift 2
fi
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT INT TERM

[ $# -gt 0 ] || set -- "$here"/planted/*.patch
mkdir "$copy/src"
tar -C "$root" --exclude=.git --exclude='./build*' -cf - . | tar -C "$copy/src" -xf -
meson setup "$copy/build" "$copy/src" >"$copy/log" 2>&1 || { cat "$copy/log"; exit 2; }

missed=0
for bug; do
    name=$(basename "$bug" .patch)
    patch -s -d "$copy/src" -p1 <"$here/planted/$name.patch"
    ninja -C "$copy/build" tests/sim/zfarm-sim >"$copy/log" 2>&1 || { cat "$copy/log"; exit 2; }
    if "$copy/build/tests/sim/zfarm-sim" --seeds "1-$seeds" >"$copy/found"; then
        echo "$name: MISSED in $seeds seeds"
        missed=$((missed + 1))
    else
        caught=$(grep -c '^seed ' "$copy/found")
        echo "$name: $caught of $seeds seeds, first $(head -n 1 "$copy/found")"
    fi
    patch -s -R -d "$copy/src" -p1 <"$here/planted/$name.patch"
done
[ "$missed" -eq 0 ]
