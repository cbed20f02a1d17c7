#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# Peers that mean harm, at every port of a farm that works, while it works: it must not notice. HOSTILE_MESSAGES
# says how many messages they send, HOSTILE_SEED which; `./dev hostile` sends a million.
# shellcheck disable=SC2016,SC2154 # the quoted variables are the tasks' own; farm.bash sets others
load helpers
load farm

messages=${HOSTILE_MESSAGES:-40000}
a_second=${HOSTILE_A_SECOND:-5000}
limit_s=$((60 + 3 * messages / a_second))

setup_file() {
  [[ -x ${ZFARM_HOSTILE:-} ]] || skip "ZFARM_HOSTILE names no program"
}

is_listened_at() { ! port_is_free "$1"; }

# The tasks come a few at a time, until there is a file `enough`: what they were is in `tasks`.
feed() {
  local next=1
  until [[ -e enough ]]; do
    seq "$next" $((next + 9)) | tee -a tasks
    next=$((next + 10))
    sleep 0.05
  done
}

# farm [SIDE-OPTIONS]: a farm on loopback that hashes what `feed` gives it; keys as keys_of says.
keys_of() { [[ -z ${keyed:-} ]] || echo --keys "farm/$1"; }

farm() {
  farm_places
  export -f feed
  rm -f enough tasks
  mkfifo -m 600 stream
  # shellcheck disable=SC2046 # the keys are two words, or none
  {
    start feeder bash -c 'exec >stream; feed'
    ventilator stream --workers-max 100 $(keys_of ventilator)
    sink -k $(keys_of sink)
    worker worker -j2 $(keys_of worker) --shell 'echo {} | sha256sum'
  }
  wait_for 20 lines_reach sink.out 100
}

# sequential: what a loop makes of the same tasks.
sequential() { while read -r task; do echo "$task" | sha256sum; done <tasks; }

# peak_of NAME: the most memory that it has had so far, in KiB.
peak_of() { awk '/^VmHWM/ { print $2 }' "/proc/${pid_of[$1]}/status"; }

note_peaks() {
  local name
  for name in ventilator sink worker; do peak_of "$name" >"$name.$1"; done
}

# peaks_are_near: with strangers, each was within 64 MiB of what it was without.
peaks_are_near() {
  local name before after verdict=0 most=$((64 * 1024))
  ! is_sanitized || most=$((most + 512 * 1024))
  for name in ventilator sink worker; do
    before=$(<"$name.calm") after=$(<"$name.stormy")
    echo "# $BATS_TEST_DESCRIPTION: $name $before KiB, and $after KiB with them" >&3
    ((after - before < most)) || verdict=1
  done
  return "$verdict"
}

# lines_are_few: on stderr, of all programs: docs/timeouts.md says how many strangers can cause.
lines_are_few() {
  local lines minutes=$((1 + (SECONDS - storm_began) / 60))
  lines=$(cat ventilator.err sink.err worker.err | wc -l)
  echo "# $lines lines on stderr" >&3
  ((lines < 30 + 80 * minutes))
}

ends_well() {
  touch enough
  for name in feeder sink ventilator worker; do ends "$name" 60 0; done
  same sink.out <(sequential)
  rm stream enough
}

storm() {
  local seed=${HOSTILE_SEED:-$RANDOM$RANDOM} port=${control##*:}
  echo "# $messages messages, HOSTILE_SEED=$seed" >&3
  storm_began=$SECONDS
  start hostile "$ZFARM_HOSTILE" "$BATS_TEST_DIRNAME/../fuzz/corpus/wire" "$port" $((port + 1)) $((port + 2)) \
    "$messages" "$a_second" "$seed" "$@"
  ends hostile "$limit_s" 0
  echo "# $(tail -n 1 hostile.out)" >&3
}

# calm_and_storm [CERTIFICATE...]: the farm alone, then with strangers.
calm_and_storm() {
  local done_before
  farm
  wait_for 120 lines_reach sink.out 500
  note_peaks calm
  ends_well
  farm
  done_before=$(wc -l <sink.out)
  storm "$@"
  # The job went on meanwhile, and does now.
  (($(wc -l <sink.out) > done_before))
  wait_for 60 lines_reach sink.out $(($(wc -l <sink.out) + 100))
  note_peaks stormy
  ends_well
  peaks_are_near
  lines_are_few
}

@test "whoever connects and says nothing is shown out, at every port" {
  farm_places
  held /dev/null
  ventilator held
  sink
  worker worker -- echo
  port=${control##*:}
  for number in 0 1 2; do
    wait_for 10 is_listened_at $((port + number))
    start "silent$number" timeout 80 bash -c "exec 7<>/dev/tcp/127.0.0.1/$((port + number)); exec cat <&7"
  done
  for number in 0 1 2; do ends "silent$number" 60 0; done
  let_go
  for name in sink ventilator worker; do ends "$name" 20 0; done
}

@test "a job completes as ever with strangers at every port" {
  calm_and_storm
  says hostile.out "learned the job yes"
}

@test "a job with keys completes as ever with strangers at every port" {
  zfarm keys farm >keys.out
  keyed=yes
  calm_and_storm farm/sink/ventilator.cert farm/sink/secret.cert
  says hostile.out "learned the job no"
  says ventilator.err "its key is not admitted for that"
  says sink.err "its key is not admitted for that"
}
