#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# --trace: what the programs of a farm say to each other, as they write it down.
# shellcheck disable=SC2154 # farm.bash sets some variables
load helpers
load farm

# in_order FILE PATTERN...: each PATTERN is in a line of FILE, behind the line of the one before.
in_order() {
  local file=$1 pattern line=0 found
  shift
  for pattern in "$@"; do
    found=$(tail -n +$((line + 1)) "$file" | grep -nE -m1 -- "$pattern" | cut -d: -f1)
    if [[ -z $found ]]; then
      echo "no '$pattern' behind line $line of $file"
      return 1
    fi
    line=$((line + found))
  done
}

# secrets: what no trace may hold: keys, as certificates have them and in digits, and words of tasks and output.
secrets() {
  find farm -name '*.cert' -exec sed -nE 's/^ *(public|secret)-key = "(.*)"$/\2/p' {} +
  echo "task-word"
  echo "output-word"
}

has_no_secrets() {
  local secret
  while IFS= read -r secret; do
    run ! grep -haF -- "$secret" "$@"
  done < <(secrets)
  run ! grep -haE -- '[0-9a-f]{33}' "$@" # the longest that may be there is a hash
}

# lines_are_messages PROGRAM: each line of job.PROGRAM has a time, a way, a connection and a message that makes sense.
lines_are_messages() {
  local message='^[0-9]+\.[0-9]{3} (->|<-) (control|lane|results)(:[0-9]+)? [A-Z]+ [0-9]+/[0-9]+/[0-9]+( |$)'
  head -n 1 "job.$1" | grep -qE "^0\.000 -- zfarm-$1, process [0-9]+, at [0-9TZ:-]+$"
  tail -n +2 "job.$1" >messages
  run ! grep -vE "$message" messages
  run ! grep -E 'make no sense|are no message' messages
}

@test "with keys and --trace each program writes what it says and hears, in order, and no secret" {
  farm_places
  zfarm keys farm one >keys.out
  for i in $(seq 50); do echo "task-word$i"; done >tasks
  held tasks
  ventilator held --keys farm/ventilator --trace job
  sink --bar --keys farm/sink --trace job
  worker one --keys farm/one --trace job -j2 -- sh -c 'echo output-word' x
  wait_for 30 workers_are 1
  let_go
  for name in sink ventilator one; do
    ends "$name" 60 0
  done
  for name in ventilator worker sink; do
    lines_are_messages "$name"
  done
  in_order job.worker '-> control JOIN .* role=worker ' '<- control WELCOME .* role=worker .*sink=\(key\)' \
    '<- lane HELLO .* token=\(secret\)' '-> control CLAIM .* token=\(secret\)' '-> control CREDIT .* tasks=' \
    '<- lane TASKS .* batch=1 runs=\{first=1 ' '-> results RESULTS .* batch=1 ' '<- control STOP .* reason=job-over' \
    '-> control BYE '
  in_order job.sink '-> control JOIN .* role=sink ' '<- control WELCOME .* role=sink ' \
    '<- control ADMITTED .*keys=\(keys: 1\)' '<- results RESULTS .* worker="one" ' '-> control STORED .* tasks=[0-9]' \
    '<- control DONE .* total=50 ' '-> control CLOSED .* ok=50 '
  in_order job.ventilator '<- control:[0-9]+ JOIN .* role=worker .* peer\.name="one"' '-> control:[0-9]+ WELCOME ' \
    '<- control:[0-9]+ CREDIT ' '-> lane:[0-9]+ TASKS ' '<- control:[0-9]+ STORED .* tasks=[0-9]' \
    '-> control:[0-9]+ DONE ' '<- control:[0-9]+ BYE '
  has_no_secrets job.*
  [[ $(stat -c %a job.* | sort -u) == 600 ]]
}

@test "zfarm run hands --trace on to its programs" {
  seq 20 >tasks
  run -0 --separate-stderr zfarm run --quiet --trace job -j2 -- echo <tasks
  one_each <(printf '%s\n' "${lines[@]}") 20
  [[ -z $stderr ]]
  in_order job.worker '-> control JOIN ' '-> control BYE '
  in_order job.sink '-> control JOIN ' '-> control CLOSED .* ok=20 '
  in_order job.ventilator '<- control:[0-9]+ JOIN ' '<- control:[0-9]+ CLOSED .* ok=20 '
}

@test "a trace that cannot be written is told of once, and the job goes on" {
  farm_places
  seq 2000 >tasks
  ln -s /dev/full full.ventilator
  ventilator tasks --trace full
  sink --trace nowhere/job
  worker one --trace job -j2 -- echo
  for name in sink ventilator one; do
    ends "$name" 60 0
  done
  one_each sink.out 2000
  [[ $(grep -c 'cannot write the trace: No space left on device; nothing more is traced' ventilator.err) == 1 ]]
  [[ $(grep -c 'cannot open the trace nowhere/job.sink: No such file or directory; nothing is traced' sink.err) == 1 ]]
  run ! grep trace one.err
}
