#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# What a network does to a farm: every host is a network namespace, all hang on one switch. Whatever is
# cut, the job is complete when it is whole again, with each result once. `./dev network` runs this in
# namespaces of its own; it must not run anywhere else.
# shellcheck disable=SC2016,SC2154 # the quoted variables are another shell's; hosts.bash sets hub
load ../scenario/helpers
load ../scenario/farm
load hosts

heartbeat=0.25 # six of them without a sign: 1.5 s

setup_file() { make_hosts; }

teardown_file() { remove_hosts; }

# farm [HOST]: ventilator and two workers of two slots, and the sink on HOST (hub). Tasks of 5 ms come as
# long as there is no file `go`; log.one and log.two have what ran there.
farm() {
  local host=${1:-hub} reach=127.0.0.1
  cat >slow.c <<'C'
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <zfarm/plugin.h>
ZFARM_PLUGIN;
static int file;
int zfarm_init(int argc, char **argv, int slot, void **state)
{
    (void)argc, (void)slot, (void)state;
    file = open(argv[0], O_WRONLY | O_APPEND | O_CREAT, 0666);
    return file < 0;
}
int zfarm_handle(void *state, const struct zfarm_task *task, struct zfarm_reply *out, struct zfarm_reply *err)
{
    (void)state, (void)err;
    dprintf(file, "%.*s\n", (int)task->size, task->data);
    usleep(5000);
    zfarm_append(out, task->data, task->size);
    return zfarm_append(out, "\n", 1);
}
C
  plugin slow
  mkfifo input
  start feeder bash -c 'exec >input; while [[ ! -e go ]]; do
    for _ in {1..12}; do echo $((++n)); done; sleep 0.02; done; echo "$n" >total'
  start_reading input ventilator ip netns exec hub zfarm-ventilator --bind 'tcp://*:5556' --insecure \
    --heartbeat "$heartbeat"
  [[ $host == hub ]] || reach=$hub
  start sink ip netns exec "$host" zfarm-sink --connect "tcp://$reach:5556" --bind 'tcp://*:5558' --insecure
  start_worker one
  start_worker two
  works one 20
  works two 20
}

start_worker() {
  start "$1" ip netns exec "$1" zfarm-worker --connect "tcp://$hub:5556" --insecure --name "$1" -j2 \
    --plugin ./slow.so "log.$1"
}

# works HOST SECONDS: its worker runs fifty tasks more.
works() {
  local lines=0
  [[ ! -e log.$1 ]] || lines=$(wc -l <"log.$1")
  wait_for "$2" lines_reach "log.$1" $((lines + 50))
}

# complete: the input ends; all end well, each task has one result.
complete() {
  touch go
  ends feeder 5 0
  ends sink 30 0
  ends ventilator 10 0
  ends one 10 0
  ends two 10 0
  one_each sink.out "$(<total)"
  summary_is sink.err "$(<total) tasks: $(<total) ok, 0 failed, 0 lost"
}

silent() { says ventilator.err "worker $1 on"; }

@test "a link that is down for less than the limit: nobody is taken for dead, nothing runs twice" {
  farm
  ip link set vone down
  sleep 0.5 # the outage that is tested
  ip link set vone up
  works one 10
  complete
  run ! silent one
  same <(cat log.one log.two | sort -n | uniq -d) /dev/null
}

@test "a link that is down for longer than the limit: its tasks go elsewhere, and it comes back" {
  farm
  ip link set vone down
  wait_for 5 silent one
  works two 5
  sleep 1 # so that the worker has seen it, too
  ip link set vone up
  works one 10
  complete
}

@test "all links are down for longer than the limit" {
  farm
  ip link set vhub down
  wait_for 5 silent one
  wait_for 5 silent two
  ip link set vhub up
  works one 10
  works two 10
  complete
}

@test "one packet in five is lost, both ways, for 4 s" {
  farm
  rule one -A INPUT -m statistic --mode random --probability 0.2 -j DROP
  rule one -A OUTPUT -m statistic --mode random --probability 0.2 -j DROP
  sleep 4 # the loss that is tested
  rule one -F
  works one 15
  complete
}

@test "a worker hears nothing, but is heard: for longer than the limit" {
  farm
  rule one -A INPUT -j DROP
  sleep 3 # twice the limit
  rule one -F
  works one 10
  complete
}

@test "a worker hears all, but is not heard: for longer than the limit" {
  farm
  rule one -A OUTPUT -j DROP
  wait_for 5 silent one
  rule one -F
  works one 10
  complete
}

@test "each of a worker's connections is reset, alone and all at once" {
  farm
  for port in 5556 5557 5558; do
    on one ss -K dst "$hub" dport = "$port" >>killed
    works one 10
  done
  on one ss -K dst "$hub" >>killed
  works one 10
  (($(grep -c ESTAB killed) >= 6))
  complete
}

@test "a worker's address is gone, and is back" {
  farm
  ip -n one addr del 10.77.0.2/24 dev eth0
  wait_for 5 silent one
  ip -n one addr add 10.77.0.2/24 dev eth0
  works one 10
  complete
}

@test "a worker joins again while the ventilator still has its old connections" {
  farm
  # The resets do not arrive: so only the worker knows that its connections are no more.
  rule one -A OUTPUT -p tcp --tcp-flags RST RST -j DROP
  on one ss -K dst "$hub" >killed
  (($(grep -c ESTAB killed) >= 3))
  works one 10
  rule one -F
  works one 10
  complete
}

@test "a host loses its power, and its worker is started again before the old one is missed" {
  farm
  rule one -A OUTPUT -p tcp --tcp-flags FIN FIN -j DROP
  rule one -A OUTPUT -p tcp --tcp-flags RST RST -j DROP
  send KILL one
  ends one 5 137
  start_worker one
  works one 10
  rule one -F
  complete
}

@test "the sink's host is cut off, for less and for more than the limit" {
  farm sinkhost
  ip link set vsinkhost down
  sleep 0.5 # the outage that is tested
  ip link set vsinkhost up
  works one 15
  works two 15
  ip link set vsinkhost down
  sleep 4 # longer than the limit
  ip link set vsinkhost up
  works one 15
  works two 15
  complete
}

@test "each of the sink's connections is reset" {
  farm sinkhost
  on sinkhost ss -K dst "$hub" dport = 5556 >killed
  works one 15
  on sinkhost ss -K sport = 5558 >>killed
  works one 15
  works two 15
  (($(grep -c ESTAB killed) >= 3))
  complete
}

# dead PORT CHAIN: two workers of two slots and 120 tasks of 0.1 s; in mid-run all packets of that port of
# worker one's are dropped on the hub, for ever, one way. The job ends with the other worker, and each
# result is there once.
dead() {
  seq 120 >tasks
  start_reading tasks ventilator ip netns exec hub zfarm-ventilator --bind 'tcp://*:5556' --insecure
  start sink ip netns exec hub zfarm-sink --connect tcp://127.0.0.1:5556 --bind 'tcp://*:5558' --insecure
  local host
  for host in one two; do
    start "$host" ip netns exec "$host" zfarm-worker --connect "tcp://$hub:5556" --insecure \
      --name "$host" -j2 --shell 'sleep 0.1; echo {}'
  done
  wait_for 30 lines_reach sink.out 30
  if [[ $2 == INPUT ]]; then
    rule hub -A INPUT -p tcp -s 10.77.0.2 --dport "$1" -j DROP
  else
    rule hub -A OUTPUT -p tcp -d 10.77.0.2 --sport "$1" -j DROP
  fi
  ends sink 40 0 # 5 s of work for two slots, and 15 s; the rest is for a machine that is busy
  ends ventilator 10 0
  ends two 10 0
  rule hub -F
  one_each sink.out 120
}

@test "results of a worker are dropped for ever on their way to the sink: they are made elsewhere" {
  dead 5558 INPUT
  says one.err "no result has arrived at the sink"
  says ventilator.err "worker one on"
  says ventilator.err "what it has finished is run elsewhere"
}

@test "what the sink's host says on a results connection is dropped for ever: likewise" {
  dead 5558 OUTPUT
  says ventilator.err "what it has finished is run elsewhere"
}

@test "what goes down a lane is dropped for ever: the lane is closed, its tasks go elsewhere" {
  dead 5557 OUTPUT
  says ventilator.err "nothing that was sent down its lane has arrived there"
}
