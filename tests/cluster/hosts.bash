# SPDX-License-Identifier: MPL-2.0
# shellcheck shell=bash
# shellcheck disable=SC2034 # hub is for those that load this
# Hosts that are network namespaces on one switch: hub, one, two, sinkhost are 10.77.0.1 to 10.77.0.4. Only for what
# tests/cluster/network runs in namespaces of its own.

hub=10.77.0.1

make_hosts() {
  [[ $(findmnt -n -o FSTYPE /run) == tmpfs && ! -e /run/systemd ]] || return
  ip link set lo up
  ip link add br0 type bridge
  ip link set br0 up
  local at=1 host
  for host in hub one two sinkhost; do
    ip netns add "$host"
    ip link add eth0 netns "$host" type veth peer name "v$host"
    ip link set "v$host" master br0 up
    ip -n "$host" link set lo up
    ip -n "$host" addr add "10.77.0.$((at++))/24" dev eth0
    ip -n "$host" link set eth0 up
  done
}

remove_hosts() {
  local host
  for host in hub one two sinkhost; do
    ip netns del "$host"
  done
  ip link del br0
}

on() { ip netns exec "$@"; }

rule() { on "$1" iptables "${@:2}"; }
