#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# A test of the simulator: plants the bugs of planted/*.patch, one at a time, into a copy of the
# sources, and each must be found within so many seeds (10,000, a thousand at a time). Bugs can be
# named by their patches. What it prints is TAP.
#
#   tests/sim/planted.sh [--seeds N] [NAME ...]
set -eu

seeds=10000
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

# The sources change, and a patch that does not fit any more plants nothing.
for patch in "$here"/planted/*.patch; do
    patch --dry-run -s -d "$copy/src" -p1 <"$patch" || { echo "not ok $patch does not fit the sources"; exit 1; }
done

# caught: says where, or fails.
caught() {
    from=1
    while [ "$from" -lt "$seeds" ]; do
        if ! "$copy/build/tests/sim/zfarm-sim" --seeds "$from-$((from + 999))" >"$copy/found"; then
            head -n 1 "$copy/found"
            return
        fi
        from=$((from + 1000))
    done
    return 1
}

missed=0
number=0
echo "1..$#"
for bug; do
    number=$((number + 1))
    name=$(basename "$bug" .patch)
    patch -s -d "$copy/src" -p1 <"$here/planted/$name.patch"
    ninja -C "$copy/build" tests/sim/zfarm-sim >"$copy/log" 2>&1 || { cat "$copy/log"; exit 2; }
    if where=$(caught); then
        echo "ok $number $name: $where"
    else
        echo "not ok $number $name: not in $seeds seeds"
        missed=$((missed + 1))
    fi
    patch -s -R -d "$copy/src" -p1 <"$here/planted/$name.patch"
done
echo "$((number - missed)) passed, $missed failed"
[ "$missed" -eq 0 ]
