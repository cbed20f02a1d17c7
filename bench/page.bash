# SPDX-License-Identifier: MPL-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # the numbers are in bench/run, which reads this
# docs/performance.md: its words stand here, its figures come from what the turns have written down.

commit() {
  git -C "$root" rev-parse --short HEAD 2>/dev/null || return 0
  git -C "$root" diff --quiet HEAD -- . ':!docs/performance.*' || echo "and changes"
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

# tabulate FILE SCRIPT [-v NAME=VALUE...]: what fails is noted, since the page is a text that runs on.
tabulate() {
  awk -F'|' "${@:3}" -f "$root/bench/numbers.awk" -f "$root/bench/$2" "$1" || echo "$2" >>broken
}

table() { tabulate figures table.awk -v work="$1"; }

costs() { tabulate costs costs.awk -v what="$1"; }

# of WORK: what zfarm does in it, as in the table.
of() { table "$1" | sed -n 's/^| zfarm | \([^ ]*\) .*/\1/p'; }

commands() {
  echo '```'
  systems | sed -n "s/^$1|[^|]*|//p"
  echo '```'
}

thousands() { sed ':more; s/\B[0-9]\{3\}\>/,&/; t more' <<<"$1"; }

simulated_table() {
  echo "| workers | the core, ns a task |"
  echo "| ---: | ---: |"
  while IFS='|' read -r workers ns; do echo "| $(thousands "$workers") | $(thousands "$ns") |"; done <simulated
}

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

![A bar for each system in each of the works below](performance.svg)

$(table short)
$(tabulate latencies latency/table.awk -v short=1)

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

## W8 and W9: with keys

What encryption and authentication cost: the numbers of W1 and the commands of W2, by a farm of the three programs, on
one machine (\`bench/by_hand\`), where each of them ciphers on the same cores. The plain pipeline has no keys.

$(table W8)

$(commands W8)

$(table W9)

$(commands W9)

## A task that is alone

How long it takes from the moment that its line can be read by the ventilator until its result can be read from the
sink, when the farm has nothing else to do; a plugin, one slot, $(thousands "$trips") tasks with a pause of 1 ms between
them (\`bench/latency\`). The bare ring is three processes with ZeroMQ sockets over ipc that pass a number on, from the
first to the second, the third and the first again. A task in a farm goes over three hops as well: to the worker, to the
plugin's process and back, and to the sink. Each figure is the median of the turns.

$(tabulate latencies latency/table.awk)

## What each process takes

Processor time is that of the process and all its threads, without its children's, and includes that of the kernel.
Many tasks: those of W1, the ventilator and the worker make the batches as large as they like. Alone: the next task is
given when the result of the last is there, so that each pays for all that is done once a batch: the most a task can
cost. A farm with long tasks is near that, and it has the time.

$(costs processes)

What a process holds is bounded by its queues and not by the number of tasks ([timeouts.md](timeouts.md)): how much of
that it needs depends on how long the others keep it waiting. The time is in proportion to the number of tasks:

$(costs growth)

## Unequal machines

Two workers with a slot each, one ten times slower than the other. Ideal is when every task in turn goes to whoever
will have done it first, and takes as long as that worker's tasks do, from start to start (the mean of the run, without
what is more than twice the median: then it waited). The time is that from the start of the first task to the end of
the last.

$(tabulate unequals unequal/table.awk)

## Many workers

$(thousands "$crowd_tasks") tasks that do nothing, by workers that are all in one process (\`bench/stub\`) but have
connections of their own, so that it is the ventilator that is measured. Processor time is a task's, in ns.

$(tabulate crowds stub/table.awk)

More of them are in the simulator, where each has one slot and tasks of 10 ms, and where each message comes alone: what
the ventilator's core takes then for a task, with its part of the messages. What it does for a task hardly depends on
how many there are (with 10,000 a tenth of the time moves ranges of stored tasks, which are then in as many pieces); but
what it holds of each worker is in a cache when they are few, and has left it when thousands of others, and all that the
simulator does for them, come in between.

$(simulated_table)

## Where a farm ends

Workers are added until one of these is busy:

- The ventilator or the sink: each is one process, on one core. From the processor time above follows what that core
  can do. Tasks travel in larger batches the shorter they are and the more of them wait, so a farm is between both.

$(costs ends)

- A store: $(of W5) tasks/s on this machine (W5).
- Bytes: $(of W6) MB/s on this machine (W6), where the ventilator reads, copies and sends them, and the commands read
  them too. Over a network it is the network: 1 Gbit/s is 125 MB/s.
- The sink's disk: here a file takes $disk_mbs MB/s. With 100 bytes a result that is
  $(thousands "$((disk_mbs * 10000))") tasks/s.

With slots enough, on any number of machines, and if ventilator and sink have a core each like those of this machine,
that makes, in tasks/s:

$(costs slots)

One figure: the slots are the limit, and all are busy. Two figures: ventilator or sink are, with each task alone or in
batches.
PAGE
}
