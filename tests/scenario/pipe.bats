#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# --pipe: blocks of whole records on the stdin of COMMAND.
# shellcheck disable=SC2016 # the quoted variables are the tasks' own
load helpers
load farm

@test "cat gives the input back byte for byte, and the lines of all blocks are all lines" {
  seq 2000000 >big
  start_reading big cat zfarm run --pipe -k -j4 -- cat
  ends cat 60 0
  same cat.out big
  start_reading big count zfarm run --pipe -j4 wc -l
  ends count 60 0
  (($(awk '{ lines += $1 } END { print lines }' count.out) == 2000000))
  (($(wc -l <count.out) == $(wc -c <big) / (1 << 20) + 1))
}

@test "bytes of any kind, files one after the other, and a shell" {
  head -c 3000000 /dev/urandom >first
  printf 'no end' >second
  start farm zfarm run --pipe -k --recend '' --block 100K --shell 'cat | cat' :::: first second
  ends farm 60 0
  same farm.out <(cat first second)
}

@test "records by --recend and --recstart, and what is replaced" {
  printf '>a\nx\n>b\ny\n>c\nz\n' >in
  start_reading in farm zfarm run --pipe -k --block 6 --recstart '>' --shell 'echo "[{#} {}]"; cat'
  ends farm 20 0
  same farm.out <(printf '[1 {}]\n>a\nx\n[2 {}]\n>b\ny\n[3 {}]\n>c\nz\n')
  printf 'a;b;c' >in
  start_reading in farm zfarm run --pipe -k --block 2 --recend ';' --shell 'cat; echo'
  ends farm 20 0
  same farm.out <(printf '%s\n' 'a;' 'b;' 'c')
}

@test "a COMMAND that reads nothing, or only the first line, is no failure" {
  seq 500000 >in
  start_reading in head zfarm run --pipe -j2 head -n 1
  ends head 30 0
  (($(wc -l <head.out) == 4))
  start_reading in true zfarm run --pipe -j2 true
  ends true 30 0
  : >in
  start_reading in empty zfarm run --pipe -j2 cat
  ends empty 20 0
  [[ ! -s empty.out ]]
}

@test "a record above the limit fails alone" {
  { echo before && head -c 1500000 /dev/zero | tr '\0' x && echo && echo behind; } >in
  start_reading in farm zfarm run --pipe -k --block 1K cat
  ends farm 30 1
  same farm.out <(printf 'before\nbehind\n')
  says farm.err 'task 2 failed: the task is longer than --task-max'
}

@test "--retries, --timeout, --joblog and --store are as with any task" {
  seq 3 >in
  start farm zfarm run --pipe -k --block 2 --retries 2 --timeout 20 --joblog log --store s.db -a in \
    --shell 'read -r x; [ $x != 2 ] || [ $ZFARM_ATTEMPT = 2 ] || exit 3; echo $x'
  ends farm 30 0
  same farm.out <(seq 3)
  (($(tail -n +2 log | wc -l) >= 3))
  start again zfarm run --pipe -k --block 2 --retries 2 --timeout 20 --store s.db -a in --other-command \
    --shell 'exit 9'
  ends again 30 0
  start same zfarm verify --pipe --block 2 s.db in
  ends same 20 0
  start other zfarm run --pipe -k --block 4 --store s.db -a in cat
  ends other 30 255
}

@test "what does not go together is refused with words" {
  echo 1 >in
  for options in '--pipe' '--pipe --shell' '--pipe --coprocess cat' '--pipe --plugin x.so' '--pipe --dry-run cat' \
    '--pipe --tag cat' '--pipe -n 2 cat' '--pipe -0 cat' '--pipe -I x cat' '--block 3 cat' '--recend x cat' \
    '--pipe --block 2M --task-max 1M cat' '--pipe cat ::: 1' '--pipe --store s.db --spool d cat'; do
    read -ra words <<<"$options"
    start_reading in farm zfarm run "${words[@]}"
    ends farm 10 255
    [[ -s farm.err ]]
  done
}
