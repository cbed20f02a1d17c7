#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# Farms with keys: who is let in, who is not, and that nobody is in a farm for long whose key is revoked.
# shellcheck disable=SC2016,SC2154 # the quoted variables are the tasks' own; farm.bash sets others
load helpers
load farm

# keyed_places NAME...: the places of a farm, and its keys in farm/: of a worker for each NAME.
keyed_places() {
  farm_places
  port=${control##*:}
  lanes=tcp://127.0.0.1:$((port + 1))
  zfarm keys farm "$@" >keys.out
}

keyed_ventilator() { ventilator "$1" --keys farm/ventilator "${@:2}"; }

keyed_sink() { sink --keys farm/sink "$@"; }

# keyed_worker NAME [OPTION...] -- COMMAND...
keyed_worker() { worker "$1" --keys "farm/$1" "${@:2}"; }

# stranger_keys NAME: makes NAME, a worker's keys that nobody has admitted, though it knows the ventilator's.
stranger_keys() {
  zfarm keys "$1.farm" "$1" >>keys.out
  mv "$1.farm/$1" "$1"
  cp farm/sink/ventilator.cert "$1/ventilator.cert"
}

fingerprint_of() { grep -oP 'fingerprint = "\K[0-9a-f]+' "$1/secret.cert"; }

# door TYPE ENDPOINT KEYS [SERVER]: what an intruder with KEYS finds there: "let in", "refused key 400".
door() {
  timeout 20 "${ZFARM_INTRUDER:?}" "$1" "$2" "${4:-farm/sink/ventilator.cert}" "$3/secret.cert" | head -n 1
}

# lacks TEXT FILE...: none of the files holds TEXT.
lacks() {
  local text=$1
  shift
  if grep -lsaF -- "$text" "$@"; then
    echo "has $text"
    return 1
  fi
}

is_listened_at() { ! port_is_free "$1"; }

needs_intruder() { [[ -x ${ZFARM_INTRUDER:-} ]] || skip "ZFARM_INTRUDER names no program"; }

@test "a farm with keys does its job" {
  keyed_places alpha beta
  seq 200 >tasks
  held tasks
  keyed_ventilator held
  keyed_sink --bar -k
  keyed_worker alpha -j2 -- echo
  keyed_worker beta -j2 -- echo
  wait_for 10 workers_are 2
  let_go
  for name in sink ventilator alpha beta; do ends "$name" 30 0; done
  same sink.out <(seq 200)
  [[ ! -s ventilator.err && ! -s alpha.err && ! -s beta.err ]]
}

@test "outputs of a megabyte and large tasks go through a farm with keys" {
  keyed_places alpha
  seq 8 >tasks
  keyed_ventilator tasks
  keyed_sink -k
  keyed_worker alpha -j2 --shell 'head -c 3000000 /dev/zero | tr "\0" {}; echo'
  for name in sink ventilator alpha; do ends "$name" 60 0; done
  same <(md5sum <sink.out) <(for i in {1..8}; do head -c 3000000 /dev/zero | tr '\0' "$i"; echo; done | md5sum)
}

@test "an unknown key is refused at every door, told of once, and the worker says so" {
  needs_intruder
  keyed_places alpha
  stranger_keys eve
  seq 50 >tasks
  held tasks
  keyed_ventilator held
  keyed_sink --bar
  keyed_worker alpha -- echo
  wait_for 10 workers_are 1
  worker eve --keys eve --give-up 3 --shell 'echo {} >>stolen'
  ends eve 20 255
  says eve.err "refuses our key"
  says eve.err "key=$(fingerprint_of eve)"
  [[ $(grep -c 'refuses our key' eve.err) == 1 ]]
  [[ $(grep -c "key=$(fingerprint_of eve)" ventilator.err) == 1 ]]
  says ventilator.err "from=127.0.0.1"
  [[ $(door dealer "$control" eve) == "refused key 400" ]]
  [[ $(door pull "$lanes" eve) == "refused key 400" ]]
  [[ $(door push "$results" eve farm/sink/secret.cert) == "refused key 400" ]]
  says sink.err "key=$(fingerprint_of eve)"
  let_go
  for name in sink ventilator alpha; do ends "$name" 30 0; done
  one_each sink.out 50
  [[ ! -e stolen ]]
}

@test "each role has its doors, and no other" {
  needs_intruder
  keyed_places alpha
  seq 5 >tasks
  held tasks
  keyed_ventilator held
  keyed_sink --bar
  keyed_worker alpha -- echo
  wait_for 10 workers_are 1
  [[ $(door dealer "$control" farm/alpha) == "let in" ]]
  [[ $(door pull "$lanes" farm/alpha) == "let in" ]]
  [[ $(door push "$results" farm/alpha farm/sink/secret.cert) == "let in" ]]
  [[ $(door dealer "$control" farm/sink) == "let in" ]]
  [[ $(door pull "$lanes" farm/sink) == "refused key 400" ]]
  [[ $(door push "$results" farm/sink farm/sink/secret.cert) == "refused key 400" ]]
  # Whoever talks to another server than he thinks says nothing to it.
  [[ $(door dealer "$control" farm/alpha farm/sink/secret.cert) == "refused handshake "* ]]
  let_go
  for name in sink ventilator alpha; do ends "$name" 30 0; done
  one_each sink.out 5
}

# pose NAME ROLE AS: makes NAME, the keys of the farm's ROLE that say they are those of an AS.
pose() {
  cp -rp "farm/$2" "$1"
  sed -i "s/role = .*/role = \"$3\"/" "$1/secret.cert"
}

@test "a sink's key does not join as a worker, nor a worker's as a sink" {
  keyed_places alpha
  seq 20 >tasks
  pose false_worker sink worker
  pose false_sink alpha sink
  held tasks
  keyed_ventilator held
  start false_sink zfarm-sink --connect "$control" --bind "tcp://127.0.0.1:$((port + 3))" --keys false_sink
  ends false_sink 20 255
  says false_sink.err "the ventilator refused this sink: its key is not admitted as a sink's"
  worker false_worker --keys false_worker -- echo
  ends false_worker 20 255
  says false_worker.err "refuses this worker: its key is not admitted as a worker's"
  says ventilator.err "refused a sink, its key is not admitted for that key=$(fingerprint_of farm/alpha)"
  says ventilator.err "refused a worker, its key is not admitted for that key=$(fingerprint_of farm/sink)"
  let_go
  keyed_sink
  keyed_worker alpha -- echo
  for name in sink ventilator alpha; do ends "$name" 30 0; done
  one_each sink.out 20
}

@test "a program with another role's keys says so before it connects" {
  keyed_places alpha
  worker alpha --keys farm/sink -- echo
  ends alpha 10 255
  says alpha.err "farm/sink/secret.cert is the key of a sink, and this is a worker"
  keyed_worker ventilator -- echo
  ends ventilator 10 255
  says ventilator.err "is the key of a ventilator, and this is a worker"
  run -255 zfarm-ventilator --keys farm/alpha </dev/null
  [[ $output == *"is the key of a worker, and this is a ventilator"* ]]
}

# connections_to PORT: how many TCP connections are established at that port, as its owner sees them.
connections_to() {
  local hex
  printf -v hex %04X "$1"
  cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -cE "^ *[0-9]+: [0-9A-F]+:$hex [0-9A-F]+:[0-9A-F]+ 01 "
}

connections_are() { (($(connections_to "$1") == $2)); }

@test "a key that is revoked in mid-run: the session ends, its connections too, its tasks go elsewhere" {
  keyed_places alpha beta
  seq 60 >tasks
  held tasks
  keyed_ventilator held
  keyed_sink --format jsonl --bar
  keyed_worker alpha -j1 --give-up 2 --shell 'echo {} >>alpha.log; sleep 0.05; echo {}'
  wait_for 10 lines_reach alpha.log 5
  rm farm/ventilator/admitted/alpha.worker
  wait_for 5 says ventilator.err "the key of worker alpha on"
  wait_for 5 workers_are 0
  ends alpha 20 255
  says alpha.err "refuses our key"
  [[ $(grep -c "refused a connection to control.*key=$(fingerprint_of farm/alpha)" ventilator.err) == 1 ]]
  keyed_worker beta -j2 -- echo
  let_go
  for name in sink ventilator beta; do ends "$name" 30 0; done
  one_each <(jq -r .task sink.out) 60
  (($(jq -r 'select(.worker == "beta") | .task' sink.out | wc -l) > 0))
}

@test "a directory of keys that others can change admits nobody new, and still revokes" {
  keyed_places alpha beta
  seq 60 >tasks
  held tasks
  mv farm/ventilator/admitted/beta.worker .
  keyed_ventilator held
  keyed_sink --bar
  keyed_worker alpha -j1 --shell 'echo {} >>alpha.log; sleep 0.05; echo {}'
  wait_for 10 lines_reach alpha.log 5
  chmod 775 farm/ventilator/admitted
  wait_for 5 says ventilator.err "nobody new is admitted: others can change"
  mv beta.worker farm/ventilator/admitted
  rm farm/ventilator/admitted/alpha.worker
  wait_for 5 says ventilator.err "the key of worker alpha on"
  keyed_worker beta -- echo
  wait_for 5 says ventilator.err "key=$(fingerprint_of farm/beta)"
  chmod 755 farm/ventilator/admitted
  let_go
  for name in sink ventilator beta; do ends "$name" 30 0; done
  one_each sink.out 60
  zfarm keys farm alpha >again
  says again "it is revoked: to make a new one remove the directory first"
}

@test "keys are not made where others could put their own" {
  mkdir -m 777 open
  run -255 zfarm keys open
  [[ $output == *"others can change open"* ]]
  same <(ls -A open) /dev/null
}

@test "the connections of a revoked worker that says nothing are closed" {
  keyed_places alpha beta
  seq 20 >tasks
  held tasks
  keyed_ventilator held
  keyed_sink --bar
  keyed_worker alpha -j1 --shell 'echo {} >>alpha.log; exec sleep 60'
  wait_for 10 lines_reach alpha.log 1
  connections_are "$port" 2
  connections_are $((port + 1)) 1
  send STOP alpha
  rm farm/ventilator/admitted/alpha.worker
  wait_for 5 connections_are "$port" 1
  wait_for 5 connections_are $((port + 1)) 0
  says ventilator.err "the key of worker alpha on"
  # What it says of its own after that is heard by nobody.
  send CONT alpha
  keyed_worker beta -j2 -- echo
  let_go
  for name in sink ventilator beta; do ends "$name" 30 0; done
  one_each sink.out 20
}

@test "a revoked key that is connected to the sink, or to control without joining, is cut when it speaks" {
  needs_intruder
  keyed_places alpha beta
  seq 20 >tasks
  held tasks
  keyed_ventilator held
  keyed_sink --bar
  keyed_worker beta -- echo
  wait_for 10 workers_are 1
  mkfifo to_push to_dealer
  alpha=farm/alpha/secret.cert
  start_reading to_push push "$ZFARM_INTRUDER" push "$results" farm/sink/secret.cert "$alpha" 3201
  exec 5>to_push
  start_reading to_dealer dealer "$ZFARM_INTRUDER" dealer "$control" farm/sink/ventilator.cert "$alpha" 0201
  exec 6>to_dealer
  wait_for 10 says push.out "let in"
  wait_for 10 says dealer.out "let in"
  rm farm/ventilator/admitted/alpha.worker
  wait_for 5 says ventilator.err "admitted keys have changed workers=1 sinks=1"
  echo >&5
  echo >&6
  exec 5>&- 6>&-
  ends push 10 0
  ends dealer 10 0
  says push.out cut
  says dealer.out cut
  let_go
  for name in sink ventilator beta; do ends "$name" 30 0; done
  one_each sink.out 20
}

@test "a key that is added in mid-run" {
  keyed_places alpha
  seq 30 >tasks
  stranger_keys gamma
  keyed_ventilator tasks
  keyed_sink
  worker gamma --keys gamma -j2 -- echo
  wait_for 10 says gamma.err "refuses our key"
  cp gamma.farm/ventilator/admitted/gamma.worker farm/ventilator/admitted/
  wait_for 5 says ventilator.err "admitted keys have changed workers=2 sinks=1"
  for name in sink ventilator gamma; do ends "$name" 30 0; done
  one_each sink.out 30
}

@test "zfarm keys adds a worker to a farm that runs, and leaves the others alone" {
  keyed_places alpha
  seq 30 >tasks
  keyed_ventilator tasks
  keyed_sink
  before=$(fingerprint_of farm/alpha)
  zfarm keys farm alpha delta >keys.out
  says keys.out "farm/alpha: is there already for zfarm-worker, key=$before"
  says keys.out "farm/delta: made for zfarm-worker, key=$(fingerprint_of farm/delta)"
  keyed_worker delta -j2 -- echo
  for name in sink ventilator delta; do ends "$name" 30 0; done
  one_each sink.out 30
}

@test "the sink's key is revoked and admitted again: its store goes on" {
  keyed_places alpha
  seq 100 >tasks
  keyed_ventilator tasks
  keyed_sink --store farm.db
  keyed_worker alpha -j1 --shell 'echo {} >>log; sleep 0.05; echo {}'
  wait_for 10 lines_reach log 5
  mv farm/ventilator/admitted/sink.sink sink.sink
  wait_for 5 says ventilator.err "the key of the sink is revoked"
  wait_for 10 says sink.err "refuses our key"
  mv sink.sink farm/ventilator/admitted/
  for name in sink ventilator alpha; do ends "$name" 60 0; done
  one_each sink.out 100
}

@test "with keys on one side only nothing is said, and both are told why" {
  keyed_places alpha
  seq 10 >tasks
  held tasks
  keyed_ventilator held
  worker plain --give-up 2 --shell 'echo {} >>stolen'
  ends plain 20 255
  says plain.err "give --keys DIR"
  start plain_sink zfarm-sink --connect "$control" --bind "$results" --give-up 2
  ends plain_sink 20 255
  says plain_sink.err "give --keys DIR"
  send KILL ventilator
  ends ventilator 5 137
  ventilator tasks
  keyed_worker alpha --give-up 2 --shell 'echo {} >>stolen'
  ends alpha 20 255
  grep -qE "has no keys, so nothing|has it keys at all" alpha.err
  [[ ! -e stolen ]]
}

@test "a worker does not talk to a ventilator with another key" {
  keyed_places alpha
  zfarm keys other alpha >>keys.out
  ventilator /dev/null --keys other/ventilator
  keyed_worker alpha --give-up 2 -- echo
  ends alpha 20 255
  says alpha.err "a ventilator with another key"
  [[ ! -s ventilator.err ]]
}

@test "TERM opens no door: ventilator and sink refuse strangers until they end" {
  needs_intruder
  keyed_places alpha
  stranger_keys eve
  seq 10 >tasks
  held tasks
  keyed_ventilator held
  keyed_sink
  keyed_worker alpha -j1 --shell 'echo {} >>log; while ! [ -e enough ]; do sleep 0.02; done; echo {}'
  wait_for 10 lines_reach log 1
  send TERM ventilator
  wait_for 5 says ventilator.err "stopping: what runs may finish"
  for _ in 1 2 3; do
    [[ $(door dealer "$control" eve) == "refused key 400" ]]
    [[ $(door pull "$lanes" eve) == "refused key 400" ]]
  done
  send TERM sink
  wait_for 5 says sink.err "stopping: what runs may finish"
  for _ in 1 2 3; do
    [[ $(door push "$results" eve farm/sink/secret.cert) == "refused key 400" ]]
    [[ $(door dealer "$control" eve) == "refused key 400" ]]
  done
  touch enough
  ends sink 30 255
  ends ventilator 30 255
}

@test "thirty unknown keys are ten lines" {
  needs_intruder
  keyed_places alpha
  held /dev/null
  keyed_ventilator held
  wait_for 10 is_listened_at "$port"
  for number in {1..30}; do zfarm keys "other.$number" eve >/dev/null; done
  began=$SECONDS
  for keys in other.*/eve; do door dealer "$control" "$keys" >>doors; done
  [[ $(sort -u doors) == "refused key 400" && $(wc -l <doors) == 30 ]]
  told=$(grep -c 'refused a connection' ventilator.err)
  ((told >= 10 && told <= 11 + (SECONDS - began) / 6))
}

@test "secrets: not readable by others, in no argument, environment or output" {
  keyed_places alpha
  [[ $(stat -c %a farm farm/alpha farm/alpha/secret.cert farm/ventilator/secret.cert | xargs) == "700 700 600 600" ]]
  seq 20 >tasks
  held tasks
  keyed_ventilator held
  keyed_sink
  keyed_worker alpha -j1 --shell 'echo {} >>log; env; echo {}'
  wait_for 10 lines_reach log 5
  mapfile -t secrets < <(grep -rhoP 'secret-key = "\K[^"]+' farm)
  ((${#secrets[@]} == 3))
  for secret in "${secrets[@]}"; do
    for pid in $(marked_processes); do lacks "$secret" "/proc/$pid/cmdline" "/proc/$pid/environ"; done
    lacks "$secret" ./*.err ./*.out
  done
  let_go
  for name in sink ventilator alpha; do ends "$name" 30 0; done
  lacks "$(grep -oP 'secret-key = "\K[^"]+' farm/alpha/secret.cert)" sink.out
}

@test "keys that others can read or change are refused with words" {
  keyed_places alpha
  chmod 640 farm/alpha/secret.cert
  keyed_worker alpha -- echo
  ends alpha 10 255
  says alpha.err "others can read farm/alpha/secret.cert (its mode is 640): chmod 600 it"
  chmod 777 farm/ventilator/admitted
  keyed_ventilator /dev/null
  ends ventilator 10 255
  says ventilator.err "others can change farm/ventilator/admitted (its mode is 777)"
  chmod 666 farm/sink/ventilator.cert
  keyed_sink
  ends sink 10 255
  says sink.err "others can change farm/sink/ventilator.cert"
  run -255 zfarm-worker --keys farm -- echo
  [[ $output == *"there is no farm/secret.cert"*"such as DIR/worker"* ]]
}

@test "keys and --insecure exclude each other; without either a farm stays on its machine" {
  keyed_places alpha
  words="--keys and --insecure exclude each other"
  run -255 zfarm-ventilator --keys farm/ventilator --insecure </dev/null
  [[ $output == *"$words"* ]]
  run -255 zfarm-sink --keys farm/sink --insecure
  [[ $output == *"$words"* ]]
  run -255 zfarm-worker --keys farm/alpha --insecure -- echo
  [[ $output == *"$words"* ]]
  run -255 zfarm-ventilator --bind "tcp://*:$port" </dev/null
  [[ $output == *"neither encrypted nor authenticated"*"--keys DIR"* ]]
  run -255 zfarm-sink --bind "tcp://*:$((port + 2))"
  [[ $output == *"neither encrypted nor authenticated"* ]]
  run -255 zfarm-worker --connect tcp://192.0.2.1:5556 -- echo
  [[ $output == *"neither encrypted nor authenticated"* ]]
}

@test "with keys a farm may leave its machine, and says nothing of insecurity" {
  keyed_places alpha
  seq 10 >tasks
  start_reading tasks ventilator zfarm-ventilator --bind "tcp://*:$port" --keys farm/ventilator
  start sink zfarm-sink --connect "$control" --bind "tcp://*:$((port + 2))" --keys farm/sink
  keyed_worker alpha -- echo
  for name in sink ventilator alpha; do ends "$name" 30 0; done
  one_each sink.out 10
  lacks insecure ventilator.err sink.err alpha.err
}

@test "zfarm why asks a farm with keys by a worker's or the sink's" {
  keyed_places alpha
  seq 5 >tasks
  held tasks
  keyed_ventilator held
  wait_for 10 is_listened_at "$port"
  run -255 zfarm why --connect "$control"
  [[ $output == *"give --keys DIR"* ]]
  run -0 zfarm why --connect "$control" --keys farm/alpha
  [[ $output == *"sink"* ]]
  run -0 zfarm why --connect "$control" --keys farm/sink
  run -255 zfarm why --connect "$control" --keys farm/ventilator
  [[ $output == *"is the key of a ventilator"* ]]
}

@test "zfarm keys takes no name that is none, and nothing is half made" {
  run -255 zfarm keys
  [[ $output == *"zfarm keys farm"* ]]
  run -255 zfarm keys farm ../evil
  [[ $output == *"'../evil' is no name for a worker's keys"* && ! -e farm && ! -e evil ]]
  run -255 zfarm keys /proc/farm
  [[ $output == *"cannot make the directory /proc/farm"* ]]
  run -255 zfarm keys farm sink
  [[ $output == *"'sink' is no name for a worker's keys"* && ! -e farm ]]
  zfarm keys farm >keys.out
  [[ -z $(find farm -name '.*') ]]
}

@test "nobody else on the machine reaches a farm of zfarm run" {
  start_reading /dev/zero run zfarm run -0 -j1 --shell 'sleep 60 # {}' ::: one
  wait_for 10 eval '[[ -S $(echo zfarm-*/control) && -S $(echo zfarm-*/results) ]]'
  [[ $(stat -c %a zfarm-* | sort -u) == 700 ]]
  cat /proc/net/{tcp,tcp6,udp,udp6} 2>/dev/null | awk '{ print $10 }' >network
  for pid in $(marked_processes); do readlink "/proc/$pid"/fd/* | grep -oP 'socket:\[\K[0-9]+'; done >sockets || true
  (($(wc -l <sockets) > 0))
  run -1 grep -xFf sockets network
  if ((EUID == 0)) && command -v setpriv >/dev/null; then
    chmod 755 . # so that it is the farm's own directory that keeps them out
    run setpriv --reuid 65534 --regid 65534 --clear-groups ls zfarm-*/
    ((status != 0))
  fi
  send KILL run
  ends run 10 137
}
