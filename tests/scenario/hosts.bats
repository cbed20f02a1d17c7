#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# zfarm run --host: workers by ssh. The ssh here is a script that runs the other side on this machine, each
# host with a home and temporary files of its own; tests/cluster/ssh.bats has a real one and real hosts.
# shellcheck disable=SC2016,SC2154 # a quoted variable is another shell's; bats sets stderr
load helpers
load farm

# ssh_script: makes `./ssh`. A host named lost-* cannot be reached; a forwarded socket is a link to ours.
ssh_script() {
  cat >ssh <<'SH'
#!/bin/bash
forwards=()
while (($#)); do
  case $1 in
    -R) forwards+=("$2"); shift 2 ;;
    --) shift; break ;;
    *) shift ;;
  esac
done
host=$1
shift
echo "$host $*" >>"$SSH_LOG"
if [[ $host == lost* && ! -e $SSH_FOUND ]]; then
  echo "ssh: connect to host $host port 22: No route to host" >&2
  exit 255
fi
mkdir -p "$SSH_HOSTS/$host"
export TMPDIR=$SSH_HOSTS/$host SSH_CONNECTION='127.0.0.1 40000 127.0.0.1 22'
for forward in "${forwards[@]}"; do
  ln -s "${forward#*:}" "${forward%%:*}"
done
echo "welcome to $host" # as some logins do
exec bash -c "$*"
SH
  chmod +x ssh
  export SSH_LOG=$PWD/ssh.log SSH_FOUND=$PWD/found SSH_HOSTS=$PWD/h
}

# nothing_left HOST...: in the temporary directories of the hosts.
nothing_left() {
  local host
  for host; do
    same <(ls "h/$host") /dev/null || return
  done
}

log_has() { grep -q "$1" ssh.log; }

@test "two hosts do the work, this machine does none, and nothing is left there" {
  ssh_script
  seq 2000 | zfarm run --ssh ./ssh --host alpha:2,beta --host gamma -- echo {} >out 2>err
  one_each out 2000
  summary_is err "2000 tasks: 2000 ok, 0 failed, 0 lost; 3 workers"
  nothing_left alpha beta gamma
}

@test "a colon is this machine, with its own number of tasks at a time" {
  ssh_script
  zfarm run --ssh ./ssh --host alpha:1,:2 -- sh -c 'sleep 0.2; echo $ZFARM_SLOT' ::: {1..24} >out 2>err
  same <(sort -u out) <(printf '%s\n' 1 2)
  summary_is err "24 tasks: 24 ok, 0 failed, 0 lost; 2 workers"
}

@test "arguments reach the host as they are" {
  ssh_script
  zfarm run --ssh ./ssh -S alpha -k -- printf '%s|' "it's" '$HOME `x` "q"' $'two\nlines' '{}' ::: 'a  b' '*' >out
  same out <(printf '%s|' "it's" '$HOME `x` "q"' $'two\nlines' 'a  b' "it's" '$HOME `x` "q"' $'two\nlines' '*')
}

@test "where there is no zfarm-worker it is copied with its libraries, and so is a plugin" {
  ssh_script
  plugin multiply
  cp "$(command -v zfarm)" "$(command -v zfarm-ventilator)" "$(command -v zfarm-worker)" \
    "$(command -v zfarm-sink)" .
  local found=$PATH
  PATH=/usr/bin:/bin
  seq 100 | ./zfarm run --ssh ./ssh --host alpha -k --plugin ./multiply.so 3 >out 2>err
  PATH=$found
  same out <(seq 3 3 300)
  log_has 'alpha exec tar -xf'
  nothing_left alpha
}

@test "--direct: workers come by TCP with keys of this run, which are gone with it" {
  ssh_script
  local port
  port=$(free_ports 3)
  start run zfarm run --ssh ./ssh --host alpha:1,:1 --direct "$port" -- \
    sh -c 'echo {} >>"begun.$ZFARM_WORKER"; until [ -e go ]; do sleep 0.05; done; echo {}' ::: {1..8}
  wait_for 10 begun_by 2
  local secret
  secret=$(sed -n 's/.*secret-key = "\(.*\)"/\1/p' zfarm-*/keys/worker/secret.cert)
  ((${#secret} == 40))
  run ! grep -qsF -- "$secret" /proc/[0-9]*/cmdline /proc/[0-9]*/environ
  run -255 --separate-stderr timeout 20 zfarm-worker --connect "tcp://127.0.0.1:$port" --give-up 1 -- true
  [[ $stderr == *keys* ]]
  touch go
  ends run 20 0
  one_each run.out 8
  nothing_left alpha
  same <(ls -d zfarm-* 2>/dev/null) /dev/null
}

# begun_by COUNT: so many workers have begun something.
begun_by() { [[ $(find . -maxdepth 1 -name 'begun.*' | wc -l) == "$1" ]]; }

@test "a host that cannot be reached is reported and tried again" {
  ssh_script
  start run zfarm run --ssh ./ssh --host lost-one -- echo {} ::: a b c
  wait_for 10 says run.err 'lost-one: ssh: connect to host lost-one port 22: No route to host'
  touch found
  ends run 20 0
  same <(sort run.out) <(printf '%s\n' a b c)
  nothing_left lost-one
}

@test "a COMMAND that no host has is said, and it is over" {
  ssh_script
  run -255 --separate-stderr zfarm run --ssh ./ssh --host alpha --host beta -- no-such-command {} ::: a
  [[ $stderr == *'alpha: zfarm-worker: '*no-such-command* && $stderr == *'beta: '* ]]
  nothing_left alpha beta
}

@test "hosts come and go with their file while it runs" {
  ssh_script
  printf '%s\n' '# ours' alpha:1 >hosts
  mkfifo held
  start feeder bash -c 'exec >held; while [[ ! -e go ]]; do echo $((++n)); sleep 0.01; done; echo $n >total'
  start run zfarm run --ssh ./ssh --hosts hosts -a held -- sh -c 'echo {} >>log.${TMPDIR##*/}'
  wait_for 10 test -s log.alpha
  printf '%s\n' 'beta:1 # new' >hosts
  wait_for 10 test -s log.beta
  wait_for 10 says run.err 'alpha is no longer in hosts'
  wait_for 10 nothing_left alpha
  touch go
  ends feeder 5 0
  ends run 20 0
  one_each <(cat log.alpha log.beta) "$(<total)"
  nothing_left beta
}

@test "an ssh that is killed takes its worker along; its tasks are run again, and the host comes back" {
  ssh_script
  mkfifo held
  start feeder bash -c 'exec >held; seq 40; read -r <go'
  mkfifo go
  start run zfarm run --ssh ./ssh --host alpha:2 -a held -- sh -c 'echo {} >>begun; sleep 0.1; echo {}'
  wait_for 10 lines_reach begun 5
  local runner shell
  runner=$(child_of run zfarm)
  shell=$(children_of "$runner")
  kill -s KILL "${shell%% *}"
  wait_for 10 says run.err 'alpha: the ssh connection is gone'
  wait_for 20 lines_reach run.out 40
  echo >go
  ends run 20 0
  one_each run.out 40
  nothing_left alpha
}

@test "the first interrupt lets what runs finish, the second ends it; no host is left with anything" {
  ssh_script
  start run zfarm run --ssh ./ssh --host alpha:1 -- sh -c 'echo {} >>begun; sleep 1000' ::: 1 2
  wait_for 10 test -s begun
  send TERM run
  send INT run
  ends run 20 255
  nothing_left alpha
}

@test "what is no host is refused in words" {
  local host
  for host in alpha:x alpha:0 -v ''; do
    run -255 --separate-stderr zfarm run --host="$host" -- true ::: 1
    [[ $stderr == *"no host"* ]]
  done
  run -255 --separate-stderr zfarm run --direct 5000 -- true ::: 1
  [[ $stderr == *"give them with --host"* ]]
  run -255 --separate-stderr zfarm run --hosts no-such-file -- true ::: 1
  [[ $stderr == *"cannot read the hosts in no-such-file: No such file"* ]]
}
