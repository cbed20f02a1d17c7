# SPDX-License-Identifier: MPL-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # the numbers are in bench/run, which reads this
# docs/performance.md: its words stand here, its figures come from what the turns have written down.

commit() {
  git -C "$root" rev-parse --short HEAD 2>/dev/null || return 0
  git -C "$root" diff --quiet HEAD -- . ':!docs/performance.md' || echo "and changes"
}

machine() {
  local cpu memory
  cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
  memory=$(awk '/^MemTotal/ { printf "%.1f GiB", $2 / 1048576 }' /proc/meminfo)
  cat <<MACHINE
- Command: \`./dev bench${options[*]:+ ${options[*]}}\`, on $(date -u +%F); turns: $turns.
- Machine: $(nproc) cores, ${cpu:-$(uname -m)}, $memory; load before the first turn: $load.
- System: $(sed -n 's/^PRETTY_NAME="\?\([^"]*\).*/\1/p' /etc/os-release), kernel $(uname -r), libzmq $(zmq_version).
- zfarm: $(zfarm --version | cut -d' ' -f2), commit $(commit | paste -sd' '), buildtype release, asserts on.
- Others: $(xargs --version | head -n 1), $(parallel --version 2>&1 | head -n 1) with PARALLEL_SHELL=/bin/sh.
MACHINE
}

zmq_version() { pkg-config --modversion libzmq; }

table() { awk -F'|' -v work="$1" -f "$root/bench/table.awk" figures; }

commands() {
  echo '```'
  systems | sed -n "s/^$1|[^|]*|//p"
  echo '```'
}

thousands() { sed ':more; s/\B[0-9]\{3\}\>/,&/; t more' <<<"$1"; }

write_page() {
  cat <<PAGE
# Performance

This page is written by \`./dev bench\`: do not edit it, run it. Absolute figures say as much about the machine as
about zfarm; compare the ratios, each of which is to a reference that ran in the same turns. In each turn every system
runs once. A run is timed from the start of its first process to the end of its last, with its input and its output in
files, and what it wrote is checked: a wrong output ends the bench, and this page is not written. Where min and max
lie far apart, the machine had other work to do: run it again.

$(machine)

## In short

$(table short)

## W1: $(thousands "$count1") numbers, each multiplied by 2

What a task costs that does next to nothing. zfarm calls a plugin, \`examples/multiply.c\`, on two slots; the plain
pipeline is that of the ZeroMQ Guide, one PUSH socket for two workers and a message a task (\`bench/plain\`). It keeps
no account of its tasks: those of a worker that dies are lost. The last column is the largest resident size of any
one process. xargs and GNU parallel start a process a task, which is W2.

$(table W1)

$(commands W1)

## W2: /bin/true $(thousands "$count2") times, 2 at a time

What a command costs that does nothing. The bare spawn loop calls posix_spawn, reads the command's stdout and stderr
from pipes, waits, and nothing else (\`bench/spawn\`): the limit for whatever captures both. xargs captures nothing.

$(table W2)

$(commands W2)

## W3: sh -c 'echo ...' $(thousands "$count3") times, 2 at a time, outputs in the order of the input

The bare spawn loop throws the outputs away; xargs writes a file a task.

$(table W3)

$(commands W3)

## W4: $count4 unequal sleeps on 4 workers

Each task sleeps for $short s, but four of them, the first three and the 41st, for $long s. The reference is computed:
every task in turn goes to whoever is free first. The plain pipeline deals in turn to all, busy or not.

$(table W4)

$(commands W4)

## W5: $(thousands "$count5") numbers, each multiplied by 2, into a store

What \`--store\` costs, with \`--durability normal\`, which is the default. Bare SQLite inserts the same rows into the
same schema with the same settings, $(thousands "$transaction") rows a transaction, and does nothing else
(\`bench/store\`).

$(table W5)

$(commands W5)

## W6: $(thousands $(($(amount W6) / 1000000))) MB of lines, in blocks

What \`--pipe\` costs: blocks of 1 MiB go to the standard input of \`wc\`, which is started anew for each. The
reference is GNU parallel's \`--pipe\`. Its \`--pipe-part\` does not pass the blocks on: each command reads its part
of the file itself, which a pipe or another machine does not allow.

$(table W6)

$(commands W6)

## W7: $(thousands "$count7") numbers, each multiplied by 2, by a program that stays

What \`--coprocess\` costs. The program, \`bench/filter.c\`, flushes each line that it writes, which is a system
call a task. The reference is two of them without a farm: each reads half of the numbers from a file and writes into
a pipe that \`cat\` empties. It is the limit for whatever has to wait for such a program.

$(table W7)

$(commands W7)
PAGE
}
