# SPDX-License-Identifier: MPL-2.0
# shellcheck shell=bash
# shellcheck disable=SC2094,SC2154 # tasks is a file as well as a count; hub is set in hosts.bash
# A farm of two workers whose network is hurt at a random moment, by a seed. tests/cluster/network --cuts makes a
# file of tests of it, a test for each seed.
bats_require_minimum_version 1.5.0
load "$CUTS_HERE/../scenario/helpers"
load "$CUTS_HERE/../scenario/farm"
load "$CUTS_HERE/hosts"

setup_file() { make_hosts; }

teardown_file() { remove_hosts; }

tasks=120 # of 0.1 s
limit=15  # seconds that a hurt may cost

now_ms() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }

# farm_of BYTES KEYED: ventilator and sink on the hub, two slots each on one and two. Each output is a line with the
# number of its task, and one of so many x.
farm_of() {
  local bytes=$1 keyed=$2 host means=(--insecure)
  seq "$tasks" >tasks
  [[ $keyed == 0 ]] || zfarm keys farm one two >keys.out
  [[ $keyed == 0 ]] || means=(--keys farm/ventilator)
  start_reading tasks ventilator ip netns exec hub zfarm-ventilator --bind 'tcp://*:5556' "${means[@]}"
  [[ $keyed == 0 ]] || means=(--keys farm/sink)
  start sink ip netns exec hub zfarm-sink --connect tcp://127.0.0.1:5556 --bind 'tcp://*:5558' "${means[@]}"
  for host in one two; do
    [[ $keyed == 0 ]] || means=(--keys "farm/$host")
    start "$host" ip netns exec "$host" zfarm-worker --connect "tcp://$hub:5556" "${means[@]}" --name "$host" -j2 \
      --shell "sleep 0.1; echo {} >>log; echo {}; head -c $bytes /dev/zero | tr '\\0' x; echo"
  done
}

# some_have_come COUNT: so many tasks have their result.
some_have_come() { [[ -e sink.out ]] && (($(grep -vc x sink.out) >= $1)); }

is_said() { cat ventilator.err sink.err one.err two.err | grep -E "$1" || true; }

hurts='is silent|has arrived there for|does not reach the sink|no result has arrived|run elsewhere|made anew'

# ends_in SECONDS: the job ends within so many, each task has one result.
ends_in() {
  ends sink "$1" 0
  ends ventilator 10 0
  ends two 20 0
  one_each <(grep -v x sink.out) "$tasks"
}

# What is left, at the pace so far (of four slots) and with two.
need_s() {
  local began_ms=$1 done_tasks
  done_tasks=$(grep -vc x sink.out)
  echo $((2 * (tasks - done_tasks) * ($(now_ms) - began_ms) / 1000 / done_tasks + 1))
}

# loses_for_ever RULE...: those packets are dropped at the hub, for ever.
loses_for_ever() {
  local began_ms=$1 at_ms spent_s need
  shift
  rule hub "$@" -j DROP
  need=$(need_s "$began_ms")
  at_ms=$(now_ms)
  ends_in $((need + limit))
  spent_s=$((($(now_ms) - at_ms) / 1000))
  rule hub -F
  echo "took $spent_s s, what is left needs $need s"
  ((spent_s <= need + 3)) || [[ -n $(is_said "$hurts") ]]
}

# cut SEED: every choice is made by it.
cut() {
  RANDOM=$1
  : "$RANDOM" "$RANDOM" # the first ones of two seeds are alike
  local keyed=$(($1 % 2)) kind=$((RANDOM % 10)) after=$((1 + RANDOM % 80))
  local port=$((5556 + RANDOM % 3)) way=$((RANDOM % 2))
  local began_ms at=(-A INPUT -p tcp -s 10.77.0.2 --dport "$port")
  ((way)) || at=(-A OUTPUT -p tcp -d 10.77.0.2 --sport "$port")
  echo "seed $1: keys $keyed, kind $kind, after $after results, iptables ${at[*]}"
  case $kind in
    7) farm_of 4000 "$keyed" ;;
    8) farm_of 1000 "$keyed" ;;
    *) farm_of 10 "$keyed" ;;
  esac
  began_ms=$(now_ms)
  if ((kind == 8)); then
    slow_link "$began_ms"
    return
  fi
  wait_for 60 some_have_come "$after"
  case $kind in
    6) comes_back ;;
    7) loses_for_ever "$began_ms" -A INPUT -s 10.77.0.2 -m length --length 700:65535 ;;
    *) loses_for_ever "$began_ms" "${at[@]}" ;;
  esac
}

# Ventilator and sink are cut off for 40 s, and come back.
comes_back() {
  ip link set vhub down
  sleep 40 # the outage that is tested
  ip link set vhub up
  ends_in $((tasks / 20 + limit))
  ends one 20 0
}

# 64 kbit/s each way between worker one and all others: no connection is made anew, nothing is run twice.
slow_link() {
  wait_for 60 some_have_come 10
  on one tc qdisc add dev eth0 root tbf rate 64kbit burst 3000 latency 500ms
  tc qdisc add dev vone root tbf rate 64kbit burst 3000 latency 500ms
  ends_in 120
  ends one 60 0
  on one tc qdisc del dev eth0 root
  tc qdisc del dev vone root
  [[ -z $(is_said "$hurts") ]] || { is_said "$hurts"; return 1; }
  same <(sort -n log | uniq -d) /dev/null
}
