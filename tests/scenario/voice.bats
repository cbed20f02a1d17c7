#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# One voice: after one cause zfarm run says one sentence, and at most a summary; its programs keep quiet about the rest.
# shellcheck disable=SC2016,SC2154 # the tasks' own variables; bats sets stderr_lines
load helpers

# said LINES STATUS TEXT COMMAND...: COMMAND ends with STATUS and says TEXT, in LINES lines at most.
said() {
  local most=$1 wanted=$2 text=$3
  shift 3
  run -"$wanted" --separate-stderr timeout 60 "$@" </dev/null
  [[ $stderr == *"$text"* ]] && ((${#stderr_lines[@]} <= most)) && return
  printf 'more than %s lines, or no "%s":\n%s\n' "$most" "$text" "$stderr"
  return 1
}

@test "one line for what keeps it from beginning" {
  said 1 255 '/nonexistent/x for writing: No such file' zfarm run -o /nonexistent/x -- echo ::: a
  said 1 255 'the store /nonexistent/x.db' zfarm run --store /nonexistent/x.db -- echo ::: a
  said 1 255 '/nonexistent/x for writing: No such file' zfarm run --joblog /nonexistent/x -- echo ::: a
  said 1 255 './nothere does not exist' zfarm run -- ./nothere ::: a
  said 1 255 'from /nonexistent: No such file' zfarm run -a /nonexistent -- echo
  said 1 255 'the plugin /nonexistent.so' zfarm run --plugin /nonexistent.so ::: a
}

@test "a line and a summary when it has begun" {
  printf '#!/nonexistent/shell\n' >script
  chmod +x script
  said 2 255 './script: its first line asks for /nonexistent/shell' zfarm run -- ./script ::: a
}

@test "a line and a summary when the reader of the output is gone" {
  run -0 --separate-stderr bash -c 'seq 100000 | zfarm run -j2 --shell "echo {}" | head -n2'
  ((${#stderr_lines[@]} <= 2)) || { echo "$stderr"; return 1; }
}

@test "a line and a summary for an interrupt, and no more for two" {
  start farm zfarm run -j2 --shell 'echo {} >>log; sleep 300' ::: 1 2 3
  wait_for 20 lines_reach log 2
  send TERM farm
  wait_for 10 says farm.err 'stopping: what runs may finish'
  send INT farm
  ends farm 10 255
  (($(wc -l <farm.err) <= 2)) || { cat farm.err; return 1; }
}

@test "a line and a summary when all programs are told to end together, as batch systems do" {
  start farm zfarm run -j2 --shell 'echo {} >>log; sleep 1' ::: {1..50}
  wait_for 20 lines_reach log 2
  read -ra children <"/proc/${pid_of[farm]}/task/${pid_of[farm]}/children" || true # no newline
  kill -TERM "${pid_of[farm]}" "${children[@]}"
  ends farm 20 255
  (($(wc -l <farm.err) <= 2)) || { cat farm.err; return 1; }
}

@test "a worker that is asked to leave in mid-job is followed by another one, with a line" {
  start farm zfarm run -j2 --shell 'echo {} >>log; sleep 0.2; echo {}' ::: {1..20}
  wait_for 20 lines_reach log 2
  local pid child
  for pid in $(<"/proc/${pid_of[farm]}/task/${pid_of[farm]}/children"); do
    [[ $(<"/proc/$pid/comm") != zfarm-worker ]] || child=$pid
  done
  kill -TERM "$child"
  ends farm 60 0
  sort -n farm.out | same - <(seq 20)
  says farm.err 'the worker has left before the job was over'
  (($(wc -l <farm.err) == 2)) || { cat farm.err; return 1; }
}
