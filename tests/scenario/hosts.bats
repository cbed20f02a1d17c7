#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# zfarm run --host: workers by ssh. The ssh here is a script that runs the other side on this machine, each
# host with temporary files of its own (SSH_TMP: these); tests/cluster/ssh.bats has a real one and real hosts.
# shellcheck disable=SC2016,SC2154 # a quoted variable is another shell's; bats sets stderr
load helpers
load farm

# ssh_script: makes `./ssh`. A host named lost-* cannot be reached, bar-* lets
# nobody in, hang-* does not answer; a forwarded socket is a link to ours.
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
[[ $host != bar* ]] || {
  printf '%s: Permission denied (publickey).\r\n' "$host" >&2 # as ssh ends its own lines
  exit 255
}
[[ $host != hang* ]] || exec sleep 1000
echo "$host $*" >>"$SSH_LOG"
if [[ $host == lost* && ! -e $SSH_FOUND ]]; then
  echo "ssh: connect to host $host port 22: No route to host" >&2
  exit 255
fi
mkdir -p "$SSH_HOSTS/$host"
export TMPDIR=${SSH_TMP:-$SSH_HOSTS/$host} SSH_CONNECTION='127.0.0.1 40000 127.0.0.1 22'
for forward in "${forwards[@]}"; do
  ln -s "${forward#*:}" "${forward%%:*}"
done
echo "welcome to $host" # as some logins do
[[ $host != slow* ]] || sed -u '/^mkdir/s/$/; sleep 1/' | { exec bash -c "$*"; }
[[ $host == slow* ]] || exec bash -c "$*"
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
  log_has 'alpha exec tar -xof'
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

@test "when no host lets anybody in it is over after the second try, with the reasons" {
  ssh_script
  start run zfarm run --ssh ./ssh --host bar-one,bar-two -- echo {} ::: a b
  ends run 20 255
  says run.err 'zfarm: no host can work (bar-one: bar-one: Permission denied (publickey).; bar-two: bar-two: '
  (($(grep -c '^zfarm: bar-one: bar-one: Permission denied' run.err) == 1))
  run ! says run.err 'start one with'
  [[ ! -s run.out ]]
}

@test "a host that lets nobody in is no matter when another one works, or this machine does" {
  ssh_script
  zfarm run --ssh ./ssh -S bar-one,2/alpha -k -- sh -c 'sleep 0.5; echo {}' ::: {1..12} >out 2>err
  same out <(seq 12)
  zfarm run --ssh ./ssh -S bar-one,1/: -k -- sh -c 'sleep 0.5; echo {} $ZFARM_SLOT' ::: {1..6} >out 2>err
  same out <(seq 6 | sed 's/$/ 1/')
}

@test "what may pass is given up after --give-up, and so is a connection that hangs" {
  ssh_script
  start run zfarm run --ssh ./ssh --host lost-one --host hang-one --give-up 2 -- echo {} ::: a
  ends run 20 255
  says run.err 'zfarm: no host can work (lost-one: ssh: connect to host lost-one port 22: No route to host; '
  says run.err 'hang-one: does not answer)'
}

@test "a host that is still being connected when the job is done: its ssh is killed, and it is over" {
  ssh_script
  start run zfarm run --ssh ./ssh --host hang-one,:2 -k -- echo {} ::: a b
  wait_for 30 says run.err '2 tasks: 2 ok'
  ends run 8 0 # else 5 s for its look, and 5 s to clean up after it
  same run.out <(printf '%s\n' a b)
}

@test "a relative COMMAND that a host has not: it says where COMMAND runs there" {
  ssh_script
  run -255 --separate-stderr zfarm run --ssh ./ssh --host alpha -- ./no/such {} ::: a
  [[ $stderr == *'the command ./no/such does not exist; COMMAND runs in the login directory there: '* ]]
}

@test "a drain that comes while the worker is being started leaves no shell there, at whatever moment" {
  ssh_script
  sed -i 's|^echo "welcome|d=${!#}; [[ $1 != *"/run "* ]] \|\| cp "${d##* }/run" "$SSH_HOSTS/script"; &|' ssh
  zfarm run --ssh ./ssh --host alpha:1 -- true ::: 1
  local round status
  for round in {1..60}; do
    mkdir "there.$round"
    cp h/script "there.$round/run"
    # The moment moves from before the start of the worker to behind it.
    { sleep "0.0$((round % 4))"; echo drain; } |
      timeout 30 sh "there.$round/run" "$(command -v zfarm-worker)" "$PWD/there.$round" >>said 2>>words
    [[ ! -e there.$round ]]
  done
  (($(grep -c 'zfarm-ended: ' said) == 60))
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
  hosts_run
  wait_for 10 test -s log.alpha
  printf '%s\n' 'beta:1 # new' >hosts
  wait_for 10 test -s log.beta
  wait_for 10 says run.err 'alpha is no longer in hosts'
  wait_for 10 nothing_left alpha
  hosts_run_ends
  nothing_left beta
}

# hosts_run SCRIPT: a run whose hosts are in `hosts`, until `go`; each task notes its number in log.HOST.
hosts_run() {
  mkfifo held
  start feeder bash -c 'exec >held; while [[ ! -e go ]]; do echo $((++n)); sleep 0.01; done; echo $n >total'
  start run zfarm run --ssh ./ssh --hosts hosts "$@" -a held -- sh -c 'echo {} >>log.${TMPDIR##*/}'
}

hosts_run_ends() {
  touch go
  ends feeder 5 0
  ends run 20 0
  one_each <(cat log.*) "$(<total)"
}

# log_grows HOST: tasks run there.
log_grows() {
  local lines
  lines=$(wc -l <"log.$1")
  wait_for 10 lines_reach "log.$1" $((lines + 5))
}

@test "a host that was taken out of the file and comes back works again, also while it still drains" {
  ssh_script
  printf 'alpha:1\nbeta:1\n' >hosts
  hosts_run
  wait_for 10 test -s log.alpha
  wait_for 10 test -s log.beta
  echo alpha:1 >hosts
  wait_for 10 nothing_left beta
  echo 'alpha:1, beta:1' >hosts
  log_grows beta
  hosts_run_ends
}

@test "of a file with a fault nothing is taken in, and what --host names stays whatever the file says" {
  ssh_script
  printf 'alpha:1\nbeta:1\n' >hosts
  hosts_run --host alpha:1
  wait_for 10 test -s log.alpha
  wait_for 10 test -s log.beta
  printf 'gamma:1\nbeta:x\n' >hosts
  wait_for 10 says run.err '; the hosts stay as they are'
  log_grows beta
  : >hosts
  wait_for 10 says run.err 'beta is no longer in hosts'
  log_grows alpha
  run ! says run.err 'alpha is no longer'
  run ! test -e log.gamma
  hosts_run_ends
}

@test "a host whose number of tasks changes in the file ends what it is at, and begins anew" {
  ssh_script
  echo alpha:1 >hosts
  hosts_run
  wait_for 10 test -s log.alpha
  echo alpha:3 >hosts
  wait_for 10 says run.err 'alpha has another number of tasks at a time'
  log_grows alpha
  hosts_run_ends
}

@test "a worker that is killed on its host is replaced, however often" {
  ssh_script
  mkfifo held go
  start feeder bash -c 'exec >held; seq 60; read -r <go'
  start run zfarm run --ssh ./ssh --host alpha:1 -a held -- sh -c 'echo {} >>begun; sleep 0.1; echo {}'
  local round killed
  for round in 1 2; do
    wait_for 20 lines_reach begun $((round * 10))
    killed=$(worker_of_host)
    kill -s KILL "$killed"
    wait_for 20 another_worker_than "$killed"
  done
  says run.err 'alpha: its worker was killed by signal 9; another one is started'
  wait_for 30 lines_reach run.out 60
  echo >go
  ends run 20 0
  one_each run.out 60
  nothing_left alpha
}

another_worker_than() {
  local worker
  worker=$(worker_of_host)
  [[ -n $worker && $worker != "$1" ]]
}

# worker_of_host: the zfarm-worker below the run's host.
worker_of_host() {
  local -a below
  read -ra below <<<"${pid_of[run]}"
  while ((${#below[@]})); do
    [[ $(</proc/"${below[0]}"/comm) != zfarm-worker ]] || { echo "${below[0]}"; return; }
    # shellcheck disable=SC2207 # numbers
    below=("${below[@]:1}" $(children_of "${below[0]}"))
  done
}

says_times() { (($(grep -c -- "$2" "$1") >= $3)); }

@test "a host whose TMPDIR is odd: nothing but our own directory is made or removed" {
  ssh_script
  mkdir -p 'odd/a b'
  touch odd/a_file 'odd/a b/precious'
  mkdir odd/a
  touch odd/a/precious
  SSH_TMP="$PWD/odd/a b" zfarm run --ssh ./ssh --host alpha:1 -- echo {} ::: 1 >out
  SSH_TMP=$PWD/$(printf 'x%.0s' {1..90}) zfarm run --ssh ./ssh --host alpha:1 -- echo {} ::: 2 >>out
  same out <(printf '%s\n' 1 2)
  same <(cd odd; find . -type f | sort) <(printf '%s\n' './a b/precious' ./a/precious ./a_file)
  local name
  name=$(grep -o 'zfarm-host-[0-9a-f]*' ssh.log | sort -u)
  ((${#name} > 0))
  for name in $name; do [[ ! -e /tmp/$name ]]; done
}

@test "a run that is interrupted while it looks at its host leaves nothing there" {
  ssh_script
  start run zfarm run --ssh ./ssh --host slow:1 -- echo {} ::: 1
  wait_for 10 some_left slow
  send TERM run
  send INT run
  ends run 20 255
  nothing_left slow
}

@test "a directory here to which ssh cannot forward is said" {
  ssh_script
  mkdir a:b
  TMPDIR=$PWD/a:b run -255 --separate-stderr timeout 20 zfarm run --ssh ./ssh --host alpha -- echo ::: 1
  [[ $stderr == *"alpha: ssh cannot forward to sockets in "*"set TMPDIR to a directory without : and %"* ]]
  nothing_left alpha
}

some_left() { ! nothing_left "$1"; }

@test "a host of another architecture is said, and it is over when all are" {
  ssh_script
  mkdir other
  printf '#!/bin/sh\necho Other\n' >other/uname
  chmod +x other/uname
  for name in zfarm zfarm-ventilator zfarm-worker zfarm-sink; do ln -s "$(command -v "$name")" .; done
  PATH=$PWD/other:/usr/bin:/bin run -255 --separate-stderr timeout 20 ./zfarm run --ssh ./ssh --host alpha -- echo ::: 1
  [[ $stderr == *"alpha: it is Other-Other and this zfarm is for "* ]]
  nothing_left alpha
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
  wait_for 10 says run.err 'stopping: '
  send INT run
  ends run 20 255
  wait_for 10 nothing_left alpha # it ends by its leash, also when its runner had to be killed
}

@test "what is no host is refused in words" {
  local host
  for host in alpha:x alpha:0 -v '' '[::1' alpha:1:2 'al pha' .. 4/alpha:2 x/alpha 4/ @web/alpha; do
    run -255 --separate-stderr zfarm run --host="$host" -- true ::: 1
    [[ $stderr == *"no host"* ]]
  done
  run -255 --separate-stderr zfarm run --direct 5000 -- true ::: 1
  [[ $stderr == *"give them with --host"* ]]
  run -255 --separate-stderr zfarm run --hosts no-such-file -- true ::: 1
  [[ $stderr == *"cannot read the hosts in no-such-file: No such file"* ]]
}
