# SPDX-License-Identifier: MPL-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # the numbers are in bench/run, which reads this
# The works that zfarm and others do in turns: what runs, on which input, and whether its output is right.

# WORK|SYSTEM|COMMAND for each, in a work its reference first. xargs mixes up the outputs, so that it needs files to
# bring them into order.
systems() {
  cat <<SYSTEMS
W1|plain pipeline|plain_pipeline 2 $count1
W1|zfarm|zfarm run -j2 --plugin ./multiply.so 2
W2|bare spawn|bare_spawn 2 $count2 /bin/true 1
W2|xargs|xargs -P2 -n1 /bin/true
W2|GNU parallel|parallel -j2 /bin/true
W2|zfarm|zfarm run -j2 -- /bin/true
W3|bare spawn|bare_spawn 2 $count3 /bin/sh -c 'echo task $(head -n 1 tasks.W3)'
W3|xargs|sh -c 'xargs -P2 -I{} sh -c "echo task {} >ordered/{}" && cat ordered/*'
W3|GNU parallel|parallel -j2 -k 'echo task {}'
W3|zfarm|zfarm run -j2 -k --shell 'echo task {}'
W4|plain pipeline|plain_pipeline --sleep 4 $count4
W4|xargs|xargs -P4 -n1 sleep
W4|GNU parallel|parallel -j4 sleep
W4|zfarm|zfarm run -j4 -- sleep
W5|bare SQLite|bare_store store.db $transaction
W5|zfarm|zfarm run -j2 --store store.db --plugin ./multiply.so 2
W6|GNU parallel|parallel -j2 --pipe --block 1M wc -lc
W6|GNU parallel on a file|parallel -j2 --pipe-part --block 1M -a tasks.W6 wc -lc
W6|zfarm|zfarm run -j2 --pipe --block 1M -- wc -lc
W7|bare filters|sh -c '(filter <half.aa | cat >half.out) & filter <half.ab | cat; wait; cat half.out'
W7|zfarm|zfarm run -j2 --coprocess filter
W8|plain pipeline|plain_pipeline 2 $count1
W8|zfarm without keys|./by_hand -j2 --plugin ./multiply.so 2
W8|zfarm|./by_hand --keys farm -j2 --plugin ./multiply.so 2
W9|zfarm without keys|./by_hand -j2 -- /bin/true
W9|zfarm|./by_hand --keys farm -j2 -- /bin/true
SYSTEMS
}

make_tasks() {
  seq "$count1" >tasks.W1
  seq "$count2" >tasks.W2
  seq -w "$count3" >tasks.W3 # of one width, so that the files of xargs sort as the tasks do
  sed 's/^/task /' tasks.W3 >expected.W3
  awk -v count="$count4" -v short="$short" -v long="$long" 'BEGIN {
    for (at = 0; at < count; at++) print at <= 2 || at == 40 ? long : short }' >tasks.W4
  sort tasks.W4 >expected.W4
  seq "$count5" >tasks.W5
  seq -f 'a line of some log: request %.0f was answered, and nobody asked how' "$count6" >tasks.W6
  wc -lc <tasks.W6 | tr -s ' ' >expected.W6
  seq "$count7" >tasks.W7
  split -n l/2 tasks.W7 half. # for the bare filters
  ln -f tasks.W1 tasks.W8
  ln -f tasks.W2 tasks.W9
  rm -rf farm
  zfarm keys farm >/dev/null
}

# amount WORK: tasks, of W6 bytes.
amount() {
  if [[ $1 == W6 ]]; then wc -c <tasks.W6; else wc -l <"tasks.$1"; fi
}

# Whole time when each task of W4 goes to whoever is free first of four, and when all four work to the end.
greedy() {
  awk '{
      at = 1
      for (i = 2; i <= 4; i++) if (busy[i] + 0 < busy[at] + 0) at = i
      busy[at] += $1; sum += $1
      if (busy[at] > end) end = busy[at]
    } END { printf "%.6f %.6f\n", end, sum / 4 }' tasks.W4
}

# right WORK SYSTEM SECONDS: is in `output` what the work must give?
right() {
  local count
  count=$(wc -l <"tasks.$1")
  [[ $2 != zfarm* ]] || all_ok "$1" "$count" || return
  [[ $1 != W5 ]] || stored "$count" || return
  if [[ $2 == "bare spawn" ]]; then
    spawned "$1"
    return
  fi
  case $1 in
    W1 | W7 | W8) doubled "$count" <output 2>>complaints ;;
    W2 | W9) [[ ! -s output ]] ;;
    W3) cmp -s output expected.W3 ;;
    W4) slept "$@" ;;
    W5) [[ $2 != zfarm ]] || doubled "$count" <output 2>>complaints ;;
    W6) awk '{ l += $1; c += $2 } END { printf " %d %d\n", l, c }' output | cmp -s - expected.W6 ;;
  esac
}

# all_ok WORK COUNT: what zfarm says at its end. How many blocks W6 has is its own affair.
all_ok() {
  local count=$2
  [[ $1 != W6 ]] || count='([0-9]+)'
  [[ $(tail -n 1 complaints) =~ ^$count\ tasks:\ ([0-9]+)\ ok,\ 0\ failed,\ 0\ lost\; ]] || return
  [[ $1 == W6 && ${BASH_REMATCH[1]} == "${BASH_REMATCH[2]}" || ${BASH_REMATCH[1]} == "$count" ]]
}

# spawned WORK: the bare spawn loop counts its outputs, and throws them away.
spawned() {
  local failed bytes expected=/dev/null
  [[ $1 == W2 ]] || expected=expected.$1
  read -r _ failed bytes <output
  [[ $failed == 0 && $bytes == "$(wc -c <"$expected")" ]]
}

# stored COUNT: the store has so many rows, and each is right.
stored() {
  [[ $(sqlite3 -readonly store.db "SELECT count(*) FROM result WHERE status = 'ok' AND task = CAST(seq AS TEXT)
    AND stdout = (2 * seq) || char(10)") == "$1" ]]
}

slept() {
  local sum
  read -r _ sum < <(greedy)
  awk -v took="$3" -v least="$sum" 'BEGIN { exit took < least }' || return
  if [[ $2 == plain* ]]; then
    sort output | cmp -s - expected.W4
  else
    [[ ! -s output ]]
  fi
}

# once WORK SYSTEM COMMAND: one run, measured and checked, as one line of `figures`.
once() {
  local command status=0 seconds kib
  rm -rf ordered measured store.db*
  mkdir ordered
  eval "command=($3)"
  timeout -k 10 "$limit_s" measure measured "${command[@]}" <"tasks.$1" >output 2>complaints || status=$?
  ((status == 0)) || wrong "$1: $2 ended with $status"
  read -r seconds kib <measured
  right "$1" "$2" "$seconds" || wrong "$1: the output of $2 is wrong"
  printf '%s|%s|%s|%s|%s\n' "$1" "$2" "$(amount "$1")" "$seconds" "$kib" >>figures
  printf ' %s %.3f s' "$2" "$seconds"
}

# all_turns WORK: every system once a turn; each turn begins with another one.
all_turns() {
  local lines turn at work system command
  mapfile -t lines < <(systems | grep "^$1")
  for ((turn = 0; turn < turns; turn++)); do
    printf '%s, turn %d of %d:' "$1" $((turn + 1)) "$turns"
    for ((at = 0; at < ${#lines[@]}; at++)); do
      IFS='|' read -r work system command <<<"${lines[(turn + at) % ${#lines[@]}]}"
      ((at == 0)) || printf ','
      once "$work" "$system" "$command"
    done
    printf '\n'
  done
}
