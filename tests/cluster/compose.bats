#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# docker-compose.yml as people use it: the job's status, and every result once, whatever becomes of the
# workers. Needs an engine, the image and COMPOSE; `./dev cluster` sees to that.
# shellcheck disable=SC2016 # the quoted variables are the tasks' own
# shellcheck disable=SC2030,SC2031,SC2089,SC2090 # a test is a subshell; Compose's shell reads the list
load ../scenario/helpers

compose_file=$BATS_TEST_DIRNAME/../../docker-compose.yml

setup_file() {
  files=$BATS_FILE_TMPDIR/files
  expected=$BATS_FILE_TMPDIR/expected
  list='find . -name "*.txt" | sort'
  export files expected list
  mkdir "$files"
  seq 100000 | split -l 100 -d -a 4 --additional-suffix=.txt - "$files/the part "
  chmod -R a+rX "$files"
  cd "$files" || return
  bash -c "$list" | "$ZFARM_BIN/zfarm" run -k --shell sha256sum >"$expected"
}

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  rm -f "$files/go"
  export SCENARIO_MARK=$$-$BATS_TEST_NUMBER-$RANDOM$RANDOM
  export COMPOSE_FILE=$compose_file COMPOSE_PROJECT_NAME=zfarm-test-$$-$BATS_TEST_NUMBER
  export FARM_FOLDER=$files FARM_TASKS=$list FARM_COMMAND=sha256sum
}

teardown() {
  local verdict=0
  [[ -n ${BATS_TEST_COMPLETED:-} ]] || logs_of_all
  take_down || verdict=1
  stop_all 10
  no_process_is_left 5 || verdict=1
  [[ -n ${BATS_TEST_COMPLETED:-} && $verdict == 0 ]] || show_files
  return "$verdict"
}

# compose WORD...: what it says is in compose.err. Compose v2 may hang where 1.29 does not.
compose() {
  local command
  read -ra command <<<"$COMPOSE"
  timeout 120 "${command[@]}" "$@" >>compose.err 2>&1 </dev/null
}

# containers SERVICE: the ids of those that run. With --all before SERVICE, of those that have ended too.
containers() {
  local all=()
  [[ $1 != --all ]] || { all=(--all); shift; }
  docker container ls --quiet "${all[@]}" --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" \
    --filter "label=com.docker.compose.service=$1"
}

workers_run() { (($(containers worker | wc -l) == $1)); }

# what_is_there: all that belongs to this test in the engine.
what_is_there() {
  local label=label=com.docker.compose.project=$COMPOSE_PROJECT_NAME
  docker container ls --all --filter "$label" --format 'container {{.Names}}'
  docker network ls --filter "$label" --format 'network {{.Name}}'
  docker volume ls --filter "$label" --format 'volume {{.Name}}'
}

take_down() {
  compose down --volumes || return
  [[ -z $(what_is_there) ]] || { echo "left: $(what_is_there)"; return 1; }
}

logs_of_all() {
  local container
  for container in $(containers --all ventilator) $(containers --all worker); do
    docker logs "$container" >"$container.out" 2>&1 || true
  done
}

# follow_sink: what the sink prints is in sink.out, and its status in status.out.
follow_sink() {
  local sink
  sink=$(containers --all sink)
  start sink docker logs --follow "$sink"
  start status docker wait "$sink"
}

# sink_ends STATUS
sink_ends() {
  ends status 60 0
  ends sink 10 0
  (($(<status.out) == $1)) || { echo "the sink ended with $(<status.out) instead of $1"; return 1; }
}

# A job in the middle of which something can be done: its tasks take long until let_go.
slow_job() {
  export FARM_COMMAND='[ -e go ] || sleep 0.5; sha256sum' ZFARM_JOBS=2 ZFARM_FORMAT=jsonl
}

let_go() { : >"$files/go"; }

# worked COUNT: so many workers have made results (so far).
worked() { (($(grep -oE '"worker":"[^"]+"' sink.out | sort -u | wc -l) >= $1)); }

# all_results: those of one machine, each once, in the order of the input.
all_results() { same "$expected" <(jq -j .stdout sink.out); }

@test "1,000 files on 4 workers: the output of one machine, and status 0" {
  (($(wc -l <"$expected") == 1000))
  compose up --exit-code-from sink --scale worker=4
  docker logs "$(containers --all sink)" >sink.out 2>sink.err
  same "$expected" sink.out
  says sink.err "1000 tasks: 1000 ok, 0 failed, 0 lost"
}

@test "the command ends with the job's status: 5 of 100 tasks fail" {
  export FARM_TASKS='seq 100' FARM_COMMAND='exit $(({} % 20 == 7))'
  status=0
  compose up --exit-code-from sink --scale worker=2 || status=$?
  ((status == 5))
}

@test "the command fails if the list of tasks cannot be made" {
  # Compose v2 starts workers even when the ventilator has ended: they have to give up by themselves.
  export FARM_TASKS='find ./nowhere | sort' ZFARM_GIVE_UP=5
  status=0
  compose up --exit-code-from sink || status=$?
  ((status != 0 && status != 124))
}

@test "a worker container is killed in the middle: all results, none twice" {
  slow_job
  compose up -d --scale worker=4
  follow_sink
  wait_for 60 worked 4
  docker kill "$(containers worker | head -n 1)" >killed.out
  let_go
  sink_ends 0
  all_results
  # The others saw the job to its end.
  wait_for 20 workers_run 0
  mapfile -t all < <(containers --all worker)
  [[ $(docker inspect --format '{{.State.ExitCode}}' "${all[@]}" | sort -n | paste -sd' ') == "0 0 0 137" ]]
}

@test "workers are added and taken away in the middle: all results, none twice" {
  slow_job
  compose up -d --scale worker=2
  follow_sink
  wait_for 60 worked 2
  compose up -d --no-deps --no-recreate --scale worker=4 worker
  wait_for 60 worked 4
  compose up -d --no-deps --no-recreate --scale worker=1 worker
  wait_for 30 workers_run 1
  is_running sink
  let_go
  sink_ends 0
  all_results
}

@test "the results go to a folder of this machine, written by whom FARM_USER names" {
  mkdir results
  chown 12345:12345 results
  export FARM_RESULTS=$PWD/results FARM_USER=12345:12345 ZFARM_OUTPUT=/results/sums
  compose up --exit-code-from sink --scale worker=2
  same "$expected" results/sums
  [[ $(stat -c %u:%g results/sums) == 12345:12345 ]]
}

@test "the programs are not root, and the worker reaps what its tasks leave behind" {
  slow_job
  FARM_COMMAND="setsid -f true; $FARM_COMMAND"
  compose up -d
  follow_sink
  wait_for 60 worked 1
  worker=$(containers worker)
  [[ $(docker exec "$worker" id -u) == 10001 ]]
  [[ $(docker exec "$worker" cat /proc/1/comm) == zfarm-worker ]]
  no_zombie() { ! docker exec "$worker" sh -c 'cat /proc/[0-9]*/stat 2>/dev/null' | grep -F '(true) Z'; }
  wait_for 10 no_zombie
}

@test "taken down in the middle of a job, nothing of it is left" {
  slow_job
  compose up -d --scale worker=4
  follow_sink
  wait_for 60 worked 4
  (($(what_is_there | wc -l) == 8)) # 6 containers, a network, a volume
  take_down
}
