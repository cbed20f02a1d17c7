#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# zfarm run --host with real ssh: three hosts with an sshd each, in namespaces of network, processes and
# files. They let nothing but ssh in and open no connection of their own, and have no ZeroMQ: the worker is
# copied to them. `./dev network` runs this in namespaces of its own; it must not run anywhere else.
# shellcheck disable=SC2016 # the quoted variables are another shell's
load ../scenario/helpers
load ../scenario/farm

hosts=(h1 h2 h3)

# What a host does before its sshd: its own /tmp, no ZeroMQ, nothing in or out but ssh.
host_script='set -e
hostname "$1"
mount --bind "$2" /mnt
mount -t tmpfs none /tmp
for library in /usr/lib/*/libzmq.so.5 /usr/lib/*/libczmq.so.4; do
  mount --bind /dev/null "$(realpath "$library")"
done
iptables -P INPUT DROP
iptables -P OUTPUT DROP
iptables -A INPUT -p tcp --dport 22 -j ACCEPT
iptables -A OUTPUT -p tcp --sport 22 -j ACCEPT
exec /usr/sbin/sshd -D -f "/mnt/sshd.$1" -E "/mnt/sshd.$1.log"'

setup_file() {
  [[ $(findmnt -n -o FSTYPE /run) == tmpfs && ! -e /run/systemd ]]
  local dir=$BATS_FILE_TMPDIR at=1 host
  mkdir -p /run/sshd
  ip link set lo up
  ip link add br0 type bridge
  ip link set br0 up
  ip addr add 10.77.1.100/24 dev br0
  ssh-keygen -q -t ed25519 -N '' -f "$dir/id"
  cp "$dir/id.pub" "$dir/authorized_keys"
  chmod 700 "$dir"
  for host in "${hosts[@]}"; do
    ip netns add "$host"
    ip link add eth0 netns "$host" type veth peer name "v$host"
    ip link set "v$host" master br0 up
    ip -n "$host" link set eth0 up
    ip -n "$host" addr add "10.77.1.$at/24" dev eth0
    ssh-keygen -q -t ed25519 -N '' -f "$dir/key.$host"
    echo "10.77.1.$at $(cut -d' ' -f1,2 "$dir/key.$host.pub")" >>"$dir/known_hosts"
    printf '%s\n' "ListenAddress 10.77.1.$at" "HostKey /mnt/key.$host" 'PidFile none' 'UsePAM no' \
      'AuthorizedKeysFile /mnt/authorized_keys' 'StrictModes no' 'PasswordAuthentication no' \
      'PermitRootLogin prohibit-password' >"$dir/sshd.$host"
    printf '%s\n' "Host $host" "  HostName 10.77.1.$((at++))" >>"$dir/config"
    setpriv --pdeathsig KILL ip netns exec "$host" \
      unshare --uts --pid --mount --fork --kill-child --mount-proc \
      sh -c "$host_script" sh "$host" "$dir" \
      </dev/null >"$dir/$host.log" 2>&1 3>&- &
    echo $! >"$dir/pid.$host"
  done
  printf '%s\n' 'Host *' '  User root' "  IdentityFile $dir/id" '  IdentitiesOnly yes' \
    "  UserKnownHostsFile $dir/known_hosts" '  ConnectTimeout 3' >>"$dir/config"
}

teardown_file() {
  local host
  for host in "${hosts[@]}"; do
    kill -s KILL "$(<"$BATS_FILE_TMPDIR/pid.$host")"
    ip netns del "$host"
  done
  ip link del br0
}

# on HOST COMMAND...: by ssh.
on() { ssh -F "$BATS_FILE_TMPDIR/config" -o BatchMode=yes -- "$@" </dev/null; }

# is_clean HOST: no worker and no file of ours is there.
is_clean() { on "$1" '! pgrep -f [z]farm && [ -z "$(ls /tmp)" ]'; }

# farm ARGUMENT...: zfarm run with the three hosts.
farm() { zfarm run --ssh "ssh -F $BATS_FILE_TMPDIR/config" --host h1:2,h2:2 --host h3:2 "$@"; }

all_up() {
  local host
  for host in "${hosts[@]}"; do
    wait_for 10 on "$host" true
  done
}

@test "10,000 tasks on three hosts that only ssh reaches, and nothing is left on them" {
  all_up
  seq 10000 | farm --shell 'echo {}; hostname >&2' >out 2>err
  one_each out 10000
  summary_is err '10000 tasks: 10000 ok, 0 failed, 0 lost; 3 workers'
  same <(grep -xE 'h[123]' err | sort -u) <(printf '%s\n' "${hosts[@]}")
  for host in "${hosts[@]}"; do
    wait_for 5 is_clean "$host"
  done
}

@test "a host is cut off in the middle: the others do its tasks; it ends by itself and comes back" {
  all_up
  mkfifo held
  start feeder bash -c 'exec >held; while [[ ! -e go ]]; do echo $((++n)); sleep 0.001; done; echo $n >total'
  start run zfarm run --ssh "ssh -F $BATS_FILE_TMPDIR/config" --host h1:2,h2:2,h3:2 -a held \
    --shell 'echo {}; hostname >&2'
  wait_for 20 says run.err h1
  ip link set vh1 down
  wait_for 30 says run.err 'h1: the ssh connection is gone'
  local lines
  lines=$(wc -l <run.out)
  wait_for 20 lines_reach run.out $((lines + 500))
  ip link set vh1 up
  wait_for 90 gone_and_back
  touch go
  ends feeder 5 0
  ends run 60 0
  one_each run.out "$(<total)"
}

# gone_and_back: after the connection was gone, h1 works again.
gone_and_back() { sed '1,/h1: the ssh connection is gone/d' run.err | grep -qx h1; }

@test "an ssh that is killed leaves no worker on its host, and the job is complete" {
  all_up
  mkfifo held go
  start feeder bash -c 'exec >held; seq 3000; read -r <go'
  start run zfarm run --ssh "ssh -F $BATS_FILE_TMPDIR/config" --host h1:2,h2:2 -a held \
    --shell 'echo {}; hostname >&2'
  wait_for 20 says run.err h1
  local runner
  for runner in $(child_of run zfarm); do
    if grep -qz h1 "/proc/$runner/cmdline"; then
      # shellcheck disable=SC2046 # the pids are words
      kill -s KILL $(children_of "$runner")
    fi
  done
  wait_for 10 says run.err 'h1: the ssh connection is gone'
  wait_for 60 lines_reach run.out 3000
  echo >go
  ends run 30 0
  one_each run.out 3000
  wait_for 10 is_clean h1
  wait_for 10 is_clean h2
}

@test "zfarm run itself is killed: no worker is left on any host" {
  all_up
  start run zfarm run --ssh "ssh -F $BATS_FILE_TMPDIR/config" --host h1:1,h2:1 -- \
    sh -c 'hostname >>begun; sleep 1000' ::: {1..4}
  wait_for 20 on h1 'pgrep -f [s]leep'
  wait_for 20 on h2 'pgrep -f [s]leep'
  send KILL run
  wait_for 10 is_clean h1
  wait_for 10 is_clean h2
  on h1 '! pgrep -f [s]leep'
  on h2 '! pgrep -f [s]leep; rm -f begun'
}

@test "--direct: a worker that may connect to this machine comes by itself, with keys" {
  all_up
  local rule=(OUTPUT -p tcp -d 10.77.1.100 --dport 5600:5602 -j ACCEPT) from
  from=(INPUT -p tcp -s 10.77.1.100 --sport 5600:5602 -j ACCEPT)
  ip netns exec h1 iptables -I "${rule[@]}"
  ip netns exec h1 iptables -I "${from[@]}"
  seq 2000 | zfarm run --ssh "ssh -F $BATS_FILE_TMPDIR/config" --host h1:2 --direct 5600 --shell 'echo {}' \
    >out 2>err
  ip netns exec h1 iptables -D "${rule[@]}"
  ip netns exec h1 iptables -D "${from[@]}"
  one_each out 2000
  summary_is err '2000 tasks: 2000 ok, 0 failed, 0 lost'
  wait_for 5 is_clean h1
}

@test "the archive of ./dev static runs where there is no ZeroMQ" {
  all_up
  ssh -F "$BATS_FILE_TMPDIR/config" h1 'tar -C /tmp -xzf -' <"$ZFARM_ARCHIVE"
  same <(on h1 'cd /tmp/zfarm-* && ! ldd ./zfarm | grep -q "not found" && ./zfarm run -k -- echo {} ::: a b') \
    <(printf '%s\n' a b)
  on h1 'rm -rf /tmp/zfarm-*'
}
