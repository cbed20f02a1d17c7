# SPDX-License-Identifier: MPL-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # the numbers are in bench/run, which reads this
# What is measured of a farm besides its speed: how soon a isolated task comes back, what each process costs, and how
# unequal machines share the work.

# round_trip SYSTEM COMMAND...: one line of `latencies`: SYSTEM|TASKS|HALF|90 OF 100|99 OF 100|LONGEST, in microseconds.
round_trip() {
  local system=$1
  shift
  timeout -k 10 "$limit_s" round_trips measured "$trips" 1000 "$@" 2>complaints || wrong "round trips of $system failed"
  printf '%s|%s|%s\n' "$system" "$trips" "$(tr ' ' '|' <measured)" >>latencies
  printf ' %s %s us' "$system" "$(cut -d' ' -f1 measured)"
}

round_trip_ring() { round_trip "bare ring" ring; }

round_trip_zfarm() { round_trip zfarm zfarm run -j1 --plugin ./multiply.so 2; }

latency_turns() {
  local turn one=ring other=zfarm
  : >latencies
  for ((turn = 1; turn <= turns; turn++)); do
    printf 'round trips, turn %d of %d, half take at most:' "$turn" "$turns"
    "round_trip_$one"
    printf ','
    "round_trip_$other"
    printf '\n'
    read -r one other <<<"$other $one"
  done
}

# cost HOW TASKS: appends what `measured` says of each process to `costs`: HOW|TASKS|SECONDS|CPU SECONDS|KIB|COMMAND.
cost() {
  local seconds
  read -r seconds _ <measured
  tail -n +2 measured | sed -E "s/^([^ ]*) ([^ ]*) /$1|$2|$seconds|\\1|\\2|/" >>costs
}

# many TASKS: small ones, as many at a time as the farm likes. The input is made as it is read.
many() {
  printf 'each process, %s tasks:' "$(thousands "$1")"
  seq "$1" | timeout -k 10 "$limit_s" processes measured zfarm run -j2 --plugin ./multiply.so 2 >output 2>complaints ||
    wrong "$1 tasks failed"
  doubled "$1" <output 2>>complaints || wrong "$1 tasks: the output is wrong"
  cost many "$1"
  printf ' %.1f s\n' "$(cut -d' ' -f1 measured | head -n 1)"
  rm output
}

# The same tasks, each alone: the next is given when the result of the last is there.
alone() {
  printf 'each process, %s tasks, one at a time:' "$(thousands "$trips")"
  timeout -k 10 "$limit_s" round_trips took "$trips" 0 \
    processes measured zfarm run -j1 --plugin ./multiply.so 2 2>complaints || wrong "tasks one at a time failed"
  cost alone $((trips + 100)) # with those that warm it up
  printf ' %.1f s\n' "$(cut -d' ' -f1 measured | head -n 1)"
}

# crowd: what a task costs when few and when many workers are connected, as `crowds`.
crowd() {
  printf 'two and %s workers:' "$(thousands "$crowd_workers")"
  timeout -k 10 "$limit_s" "$root/bench/stub/run" "$build" --tasks "$crowd_tasks" --turns "$turns" 2 "$crowd_workers" \
    >crowds 2>complaints || wrong "$crowd_workers workers failed"
  printf '%s\n' "$(sed -n '2s/.*tasks.s \(([0-9.]*)\).*/ \1/p' crowds)"
}

# simulated_crowds: what the ventilator's core alone takes, as `simulated`: WORKERS|NS A TASK.
simulated_crowds() {
  printf 'up to %s workers in the simulator:' "$(thousands "$simulated_workers")"
  timeout -k 10 "$limit_s" "$build/tests/sim/zfarm-sim" --workers "$simulated_workers" >output ||
    wrong "the simulator failed"
  sed -nE 's/^ *([0-9]+) workers, .*: all is well;.* ventilator ([0-9]+) ns.*/\1|\2/p' output >simulated
  printf ' %s ns a task\n' "$(cut -d'|' -f2 simulated | paste -sd' ')"
}

enough_room() {
  local needed_mib=$((${growth[-1]} / 100000)) # some ten bytes a result
  (($(df --output=avail -m . | tail -n 1) > needed_mib * 2)) ||
    die "the largest run writes $needed_mib MiB into $work_dir, where twice that is not free"
}

# disk_speed: MB/s of a file that is written here until it is on the disk.
disk_speed() {
  local began=${EPOCHREALTIME/[.,]/}
  dd if=/dev/zero of=output bs=1M count="$disk_mib" conv=fdatasync status=none
  echo $((disk_mib * 1048576 / (${EPOCHREALTIME/[.,]/} - began)))
  rm output
}

# ---- unequal machines ----

started=() # what runs and has to be ended if the bench is

end_started() {
  ((${#started[@]} == 0)) || kill "${started[@]}" 2>/dev/null || true
}

doze_worker() {
  zfarm-worker --connect "ipc://$place/control" --name "$1" -j1 --plugin ./doze.so "$2" 2>>complaints &
  started+=($!)
}

workers_are_in() {
  local tries
  for ((tries = 0; tries < 200; tries++)); do
    [[ $(tail -c 80 complaints) != *", 2 workers"* ]] || return 0
    sleep 0.05
  done
  return 1
}

# unequal TASKS FAST SLOW: two workers with a slot each, of which a task takes so many seconds. Appends to `unequals`:
# TASKS|FAST|SLOW|IDEAL|TOOK|TASKS OF THE SLOW ONE.
unequal() {
  local place
  place=$(mktemp -d)
  printf 'unequal machines, %s and %s s a task:' "$2" "$3"
  : >complaints
  zfarm-sink --connect "ipc://$place/control" --bind "ipc://$place/results" --bar --format jsonl -o output \
    2>>complaints &
  started=($!)
  doze_worker fast "$2"
  doze_worker slow "$3"
  { workers_are_in && seq "$1"; } | timeout -k 10 "$limit_s" \
    zfarm-ventilator --bind "ipc://$place/control" --lanes "ipc://$place/gate" 2>>complaints ||
    wrong "the ventilator of unequal machines failed"
  wait "${started[@]}" || wrong "a program of unequal machines failed"
  started=()
  rm -r "$place"
  jq -rs -f "$root/bench/unequal/makespan.jq" --argjson fast "$2" --argjson slow "$3" --argjson count "$1" \
    output >measured || wrong "the results of unequal machines are wrong"
  printf '%s|%s|%s|%s\n' "$1" "$2" "$3" "$(cat measured)" >>unequals
  printf ' ideal %s s, took %s s\n' "$(cut -d'|' -f1 measured)" \
    "$(cut -d'|' -f2 measured)"
}

unequal_turns() {
  local turn
  : >unequals
  trap end_started EXIT
  for ((turn = 0; turn < turns; turn++)); do
    unequal "$unequal_long" 0.02 0.2
    unequal "$unequal_short" 0.001 0.01
  done
}
