# SPDX-License-Identifier: MPL-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # the numbers are in bench/run, which reads this
# Other systems that share out tasks, where Debian has them, do W1 and W2 with fewer tasks: P1 and P2. Each has a driver
# in bench/peers, which starts two workers; those that need a server get one on a free port of this machine.

# WORK|SYSTEM|TASKS|DRIVER|SERVER for each, PORT standing for its port.
peers() {
  local redis='redis-server --bind 127.0.0.1 --port PORT --save "" --appendonly no'
  local gearmand='gearmand --listen=127.0.0.1 --port=PORT --log-file=stderr'
  local beanstalkd='beanstalkd -l 127.0.0.1 -p PORT'
  cat <<PEERS
P1|zfarm|$((peer_tasks * 100))||
P1|Redis list|$((peer_tasks * 10))|redis|$redis
P1|Gearman|$((peer_tasks * 5))|gearman|$gearmand
P1|beanstalkd|$((peer_tasks * 5))|beanstalkd|$beanstalkd
P1|Dask distributed|$((peer_tasks / 5))|dask_tasks.py|
P1|Celery on Redis|$((peer_tasks / 5))|celery_tasks.py|$redis
P2|zfarm|$((peer_tasks / 5))||
P2|Redis list|$((peer_tasks / 5))|redis|$redis
P2|Gearman|$((peer_tasks / 5))|gearman|$gearmand
P2|beanstalkd|$((peer_tasks / 5))|beanstalkd|$beanstalkd
P2|Dask distributed|$((peer_tasks / 5))|dask_tasks.py|
P2|Celery on Redis|$((peer_tasks / 5))|celery_tasks.py|$redis
P2|Work Queue|$((peer_tasks / 5))|work_queue_tasks.py|
PEERS
}

build_peers() {
  local name
  local -A library=([gearman]=gearman [beanstalkd]='' [redis]=hiredis)
  mkdir -p peers
  cp "$root"/bench/peers/*.py peers
  for name in "${!library[@]}"; do
    cc -std=c17 -D_GNU_SOURCE -O2 -o "peers/$name" "$root/bench/peers/$name.c" "$root/bench/peers/peer.c" \
      ${library[$name]:+"-l${library[$name]}"} || die "cannot build the driver of $name"
  done
}

port_is_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_port: none that the kernel gives to whoever connects.
free_port() {
  local port
  for ((port = 20000 + RANDOM % 10000; ; port++)); do
    port_is_open "$port" || break
  done
  echo "$port"
}

# start_server PORT WORDS: and waits until it listens.
start_server() {
  local port=$1 words tries
  eval "words=(${2//PORT/$port})"
  "${words[@]}" </dev/null >server 2>&1 &
  started=($!)
  for ((tries = 0; tries < 200; tries++)); do
    ! port_is_open "$port" || return 0
    sleep 0.05
  done
  wrong "${words[0]} does not listen on port $port, see server"
}

stop_server() {
  end_started
  ((${#started[@]} == 0)) || wait "${started[@]}" || true # of a signal
  started=()
}

# drive WORK DRIVER PORT: leaves the seconds in `measured`.
drive() {
  local driver=("peers/$2") work=double
  [[ $1 == P1 ]] || work=true
  [[ $2 != *.py ]] || driver=(/usr/bin/python3 "peers/$2") # Debian's, which has Debian's packages
  timeout -k 10 "$limit_s" "${driver[@]}" "$3" "$work" <tasks >output 2>complaints || return
  tail -n 1 complaints >measured
}

drive_zfarm() {
  local how=(--plugin ./multiply.so 2)
  [[ $1 == P1 ]] || how=(-- /bin/true)
  timeout -k 10 "$limit_s" measure measured zfarm run -j2 "${how[@]}" <tasks >output 2>complaints
}

# peer WORK SYSTEM TASKS DRIVER SERVER: one run, as one line of `figures`.
peer() {
  local port seconds
  seq "$3" >tasks
  port=$(free_port)
  [[ -z $5 ]] || start_server "$port" "$5"
  if [[ $2 == zfarm ]]; then drive_zfarm "$1"; else drive "$1" "$4" "$port"; fi ||
    wrong "$1: $2 failed"
  stop_server
  if [[ $1 == P1 ]]; then doubled "$3" <output 2>>complaints; else [[ ! -s output ]]; fi ||
    wrong "$1: the output of $2 is wrong"
  read -r seconds _ <measured
  printf '%s|%s|%s|%s|0\n' "$1" "$2" "$3" "$seconds" >>figures
  printf '%s %s, %s tasks: %.3f s\n' "$1" "$2" "$3" "$seconds"
}

peer_turns() {
  local turn fields
  trap end_started EXIT
  build_peers
  for ((turn = 0; turn < turns; turn++)); do
    while IFS='|' read -r -a fields; do
      peer "${fields[0]}" "${fields[1]}" "${fields[2]}" "${fields[3]-}" "${fields[4]-}" </dev/null
    done < <(peers)
  done
}

peer_versions() {
  # shellcheck disable=SC2016 # dpkg-query expands it
  dpkg-query -W -f '${Package} ${Version}, ' redis-server gearman-job-server beanstalkd python3-distributed \
    python3-celery python3-workqueue | sed 's/, $//'
}

write_peers() {
  local redis='redis-server --bind 127.0.0.1 --port PORT --save "" --appendonly no'
  local gearmand='gearmand --listen=127.0.0.1 --port=PORT --log-file=stderr'
  local beanstalkd='beanstalkd -l 127.0.0.1 -p PORT'
  cat <<PAGE

## Other systems that share out tasks

The work of W1 and W2 by systems that Debian has, with two workers each, and with fewer tasks for who is slower; their
drivers are in \`bench/peers\`, in C for Redis, Gearman and beanstalkd and in Python for the others. All send a message
a task, and up to a thousand are on their way. Their servers and workers run before the clock starts; of zfarm all is
timed. Nobody but zfarm and Work Queue captures what /bin/true writes. What they are for is more than this, and what
they promise differs: a Redis list loses what a worker had that died.

P1, numbers:

$(table P1)

P2, /bin/true:

$(table P2)

Versions: $(peer_versions).
PAGE
}
