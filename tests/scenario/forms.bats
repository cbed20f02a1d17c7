#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# The forms of the input and of the output, from the command line to the bytes.
# shellcheck disable=SC2016 # the quoted variables are the tasks' own
load helpers

# prints EXPECTED ARGUMENT...: zfarm run -k ends with 0 and prints EXPECTED, line by line.
prints() {
  local expected=$1
  shift
  [[ -e in ]] || : >in
  start_reading in run zfarm run -k "$@"
  ends run 30 0
  same run.out <(printf '%s\n' "$expected")
}

@test "lines come from stdin, from -a FILE and from :::: FILE" {
  printf 'a\n\nb c\n' >in
  printf 'd\n' >other
  prints $'<a>\n<>\n<b c>' echo '<{}>'
  : >in
  prints '<d>' -a other echo '<{}>'
  prints '<d>' echo '<{}>' :::: other
  printf 'x\n' >in
  prints $'<d> <x>' echo '<{1}>' '<{2}>' :::: other -
}

@test "with -0 a task ends with NUL and may hold newlines" {
  printf 'a\nb\0c\0' >in
  prints $'<a\nb>\n<c>' -0 echo '<{}>'
}

@test "several ::: combine, the last one fastest; :::+ goes in step" {
  prints $'a1\na2\nb1\nb2' echo '{1}{2}' ::: a b ::: 1 2
  prints $'a1\nb2' echo '{1}{2}' ::: a b :::+ 1 2
}

@test "-n takes so many values a task, --colsep splits lines" {
  prints $'2+1\n4+3' -n2 echo '{2}+{1}' ::: 1 2 3 4
  printf 'a b\nc d\n' >in
  prints $'b a\nd c' --colsep ' ' echo '{2}' '{1}'
}

@test "replacements are those of GNU parallel" {
  prints '/x/y.tar.gz /x/y.tar y.tar.gz /x y.tar 1 1' echo '{}' '{.}' '{/}' '{//}' '{/.}' '{#}' '{%}' \
    ::: /x/y.tar.gz
  prints 'y x /x.c x.c' echo '{1.}' '{2/.}' '{2}' '{-1/}' ::: y.c ::: /x.c
  prints 'a {}' -I @@ echo @@ '{}' ::: a
  prints 'a' echo ::: a
}

@test "--shell quotes what it puts in; without COMMAND a task is a command line" {
  prints $'a  b; $HOME\nit'"'"'s' --shell 'echo {} | cat' ::: 'a  b; $HOME' "it's"
  printf 'echo a; echo b\necho $((1 + 2))\n' >in
  prints $'a\nb\n3' --shell
}

@test "--dry-run prints what would run, as a shell would take it, and runs nothing" {
  start run zfarm run --dry-run touch 'made {}' ::: 'a b' "it's"
  ends run 10 0
  same run.out <(printf '%s\n' "touch 'made a b'" "touch 'made it'\"'\"'s'")
  start run zfarm run --dry-run --shell 'touch made-{}; :' ::: 'a b'
  ends run 10 0
  same run.out <(echo "touch made-'a b'; :")
  run ! ls made*
}

@test "a task's stderr goes to stderr, both whole, and --tag begins their lines" {
  start run zfarm run -j2 --tag --shell 'for i in 1 2 3; do echo o{}$i; echo e{}$i >&2; done' ::: a b
  ends run 20 0
  same <(sort run.out) <(printf '%s\n' $'a\toa1' $'a\toa2' $'a\toa3' $'b\tob1' $'b\tob2' $'b\tob3')
  same <(grep -P '^[ab]\t' run.err | sort) \
    <(printf '%s\n' $'a\tea1' $'a\tea2' $'a\tea3' $'b\teb1' $'b\teb2' $'b\teb3')
  # Not mixed: the three lines of a task stand together.
  same <(cut -f1 run.out | uniq | wc -l) <(echo 2)
}

@test "-o writes to a file, and the summary stays on stderr" {
  start run zfarm run -k -o out echo ::: 1 2 3
  ends run 20 0
  same out <(seq 3)
  [[ ! -s run.out ]]
  says run.err '3 tasks: 3 ok'
}

@test "--format jsonl: every field, and bytes that are not UTF-8 in base64" {
  start run zfarm run -k -j1 --format jsonl --shell 'printf "a\377"; echo e >&2; exit {}' ::: 3 0
  ends run 20 1
  same <(jq -c 'keys_unsorted' run.out | uniq) <(echo '["seq","task","args","status","exit","signal",' \
    '"attempts","final","worker","start","seconds","stdout_base64","stderr"]' | tr -d ' ')
  same <(jq -c '[.seq, .task, .args, .status, .exit, .signal, .attempts, .tries, .stderr]' run.out) \
    <(printf '%s\n' '[1,"3",["3"],"failed",3,null,1,null,"e\n"]' '[2,"0",["0"],"ok",0,null,1,null,"e\n"]')
  same <(jq -r .stdout_base64 run.out | head -n1 | base64 -d) <(printf 'a\377')
  jq -e '.start > 1700000000 and .seconds >= 0 and (.worker | length) > 0' run.out >answers
}

# objects_of FILE: number, tries that failed before, and how it came out, of each object.
objects_of() { jq -c '[.seq, [(.tries // [])[] | [.attempt, .status, .stdout]], .status, .attempts]' "$1"; }

@test "jsonl with --retries: an object a task, in order with -k, and all tries in it" {
  printf '[%s,[],"ok",1]\n' 2 3 >expected
  printf '[%s,[[1,"failed","1\\n"],[2,"failed","2\\n"],[3,"ok","3\\n"]],"ok",3]\n' 1 >>expected
  sort -o expected expected
  local command='echo $ZFARM_ATTEMPT; test {} -gt 1 -o $ZFARM_ATTEMPT = 3'
  start run zfarm run -k -j2 --retries 3 --format jsonl --shell "$command" ::: 1 2 3
  ends run 20 0
  same <(objects_of run.out) expected
  start run zfarm run -j2 --retries 3 --format jsonl --shell "$command" ::: 1 2 3
  ends run 20 0
  same <(objects_of run.out | sort) expected
  start run zfarm run -k -j2 --retries 3 --format jsonl --store a.db --shell "$command" ::: 1 2 3
  ends run 20 0
  same <(objects_of run.out) expected
  start run zfarm run -j2 --retries 3 --format jsonl --store b.db --shell "$command" ::: 1 2 3
  ends run 20 0
  same <(objects_of run.out | sort) expected
  # What is stored is printed into another file.
  start run zfarm run -j2 --retries 3 --format jsonl -o other --store b.db --shell "$command" ::: 1 2 3
  ends run 20 0
  same <(objects_of other | sort) expected
}

@test "jsonl: the task is a string and its arguments are an array, with a store too" {
  start run zfarm run -k -n 2 --format jsonl echo ::: a 'b c' $'d\377'
  ends run 20 0
  printf '%s\n' '["a b c",["a","b c"]]' '["d\ufffd",["d\ufffd"]]' | jq -c . >expected
  same <(jq -c '[.task, .args]' run.out) expected
  same <(jq -r 'select(.seq == 2) | .args_base64[0]' run.out) <(echo ZP8=)
  start run zfarm run -k -n 2 --format jsonl --store a.db echo ::: a 'b c' $'d\377'
  ends run 20 0
  same <(jq -c '[.task, .args]' run.out) expected
}

@test "--joblog has GNU parallel's columns" {
  start run zfarm run -j1 --joblog log --shell 'sleep 0.1; echo abc; exit {}' ::: 0 7
  ends run 20 1
  same <(head -n1 log) <(printf 'Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n')
  same <(tail -n +2 log | cut -f1,5-9) <(printf '%s\t1\t4\t%s\t0\tsleep 0.1; echo abc; exit %s\n' 1 0 0 2 7 7)
  same <(tail -n +2 log | awk '$4 >= 0.1 && $4 < 5' | wc -l) <(echo 2)
}

@test "-k spools what must wait for a slow first task" {
  mkdir spool
  start run zfarm run -k -j2 --tmpdir spool --shell '[ {} != 1 ] || until [ -e go ]; do sleep 0.02; done
    head -c 200000 /dev/zero | tr "\0" x; echo {}' :::: <(seq 100)
  # A file that was unlinked: seen as what the sink holds open there.
  sink_spools() { readlink /proc/[0-9]*/fd/* 2>/dev/null | grep -q "$PWD/spool/"; }
  wait_for 20 sink_spools
  [[ ! -s run.out ]]
  : >go
  ends run 30 0
  same <(tr -d x <run.out) <(seq 100)
}

@test "each program has a --help that fits a screen and has examples, and a --version" {
  for program in zfarm 'zfarm run' 'zfarm keys' 'zfarm why' 'zfarm verify' zfarm-ventilator zfarm-worker zfarm-sink; do
    # shellcheck disable=SC2086 # two words
    $program --help >help.txt
    (($(wc -l <help.txt) <= 50))
    (($(awk '{ print length }' help.txt | sort -n | tail -n 1) <= 80))
    grep -qiE 'example' help.txt
  done
  for program in zfarm zfarm-ventilator zfarm-worker zfarm-sink; do
    [[ $($program --version) =~ ^$program\ [0-9]+\.[0-9]+\.[0-9]+ ]]
  done
}
