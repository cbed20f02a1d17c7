#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# docker-compose.yml as people use it: the job's status, and every result once, whatever becomes of its
# containers. Needs an engine, the image and COMPOSE; `./dev cluster` sees to that.
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

# the_one SERVICE: the container of a service that has one, which may have ended.
the_one() { containers --all "$1"; }

state() { docker inspect --format "{{.State.$2}}" "$1"; }

restarts_of() { docker inspect --format '{{.RestartCount}}' "$1"; }

has_restarted() { (($(restarts_of "$1") == 1)) && [[ $(state "$1" Running) == true ]]; }

# kill_inside CONTAINER PROGRAM: with -9 and by its process, as a crash would; `docker kill` counts as a stop
# by hand, after which the engine starts nothing. The kernel keeps 15 characters of a name.
kill_inside() { signal_inside KILL "$@"; }

# signal_inside SIGNAL CONTAINER PROGRAM
signal_inside() {
  docker exec "$2" bash -c '
    for directory in /proc/[0-9]*; do
      [[ $(<"$directory/comm") != "$1" ]] || kill -s "$2" "${directory##*/}"
    done' - "${3:0:15}" "$1"
}

healthy() { docker exec "$1" farm health "$2"; }

unhealthy() { ! healthy "$@"; }

network() { docker network ls --quiet --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME"; }

# The results go to a file that a sink which is started again cuts back to what is stored.
results_in_file() {
  mkdir results
  chmod 777 results
  export FARM_RESULTS=$PWD/results ZFARM_OUTPUT=/results/out
}

sink_has_exited() { [[ $(state "$(the_one sink)" Status) == exited ]]; }

# over STATUS: the sink has ended for good.
over() {
  wait_for 60 sink_has_exited
  (($(state "$(the_one sink)" ExitCode) == $1))
}

# The database says so too: nothing is missing, nothing is there twice.
audited() {
  docker cp "$(the_one sink):/store/farm.db" farm.db
  "$ZFARM_BIN/zfarm" verify farm.db >verified.out
  says verified.out "double: 0 " && says verified.out "all is there"
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
all_results() { same "$expected" <(jq -j .stdout "${1:-sink.out}"); }

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

@test "the engine does not run a job again whose tasks failed" {
  export FARM_TASKS='seq 100' FARM_COMMAND='exit $(({} % 20 == 7))'
  compose up -d
  sink=$(the_one sink)
  # No `docker wait`: of a container that is started again an engine before 23.0 tells 0 now and then (moby #39352).
  settled() { (($(restarts_of "$sink") == 5)) && sink_has_exited; }
  wait_for 90 settled
  over 5
  (($(docker logs "$sink" 2>&1 | grep -c '^100 tasks: ') == 1))
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

@test "containers are hardened, no secret is told, the dead are reaped, and who is frozen is not healthy" {
  slow_job
  FARM_COMMAND="setsid -f true; $FARM_COMMAND"
  compose up -d
  follow_sink
  wait_for 60 worked 1
  worker=$(containers worker) sink=$(containers sink) ventilator=$(containers ventilator)
  all=("$(containers keys)" "$worker" "$sink" "$ventilator")
  format='{{.Config.User}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.SecurityOpt}}'
  format+=' {{.HostConfig.Init}} {{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}'
  for container in "${all[@]}"; do
    [[ $(docker inspect --format "$format" "$container") =~ \
      ^10001:10001\ true\ \[ALL\]\ \[no-new-privileges:true\]\ true\ [1-9][0-9]+\ [1-9][0-9]+$ ]]
    docker exec "$container" cat /proc/1/status >status.txt
    grep -qE '^CapBnd:.0+$' status.txt && grep -qE '^CapEff:.0+$' status.txt
    grep -qE '^NoNewPrivs:.1$' status.txt && grep -qE '^Uid:.10001\b' status.txt
    run ! docker exec "$container" touch /usr/local/here
  done
  run ! docker exec "$worker" ls /keys-of /keys/health /store /tasks
  [[ $(docker exec "$worker" find /keys /keys-of /store /tasks -type f | sort | paste -sd' ') == \
    "/keys/own/secret.cert /keys/own/ventilator.cert" ]]
  run ! docker exec "$worker" touch /keys/own/here
  docker inspect "${all[@]}" >told.txt
  for container in "${all[@]}"; do docker logs "$container" >>told.txt 2>&1; done
  run ! grep -qi insecure told.txt
  for container in "$worker" "$sink" "$ventilator"; do
    secret=$(docker exec "$container" sed -n 's/.*secret-key = "\(.*\)"/\1/p' /keys/own/secret.cert)
    ((${#secret} == 40))
    run ! grep -qF -- "$secret" told.txt
  done
  no_zombie() { ! docker exec "$worker" sh -c 'cat /proc/[0-9]*/stat 2>/dev/null' | grep -F '(true) Z'; }
  wait_for 10 no_zombie
  for service in worker sink ventilator; do
    container=$(containers "$service")
    [[ $(docker inspect --format '{{.Config.Healthcheck.Test}}' "$container") == "[CMD farm health $service]" ]]
    wait_for 10 healthy "$container" "$service"
    signal_inside STOP "$container" "zfarm-$service"
    unhealthy "$container" "$service"
    signal_inside CONT "$container" "zfarm-$service"
    wait_for 20 healthy "$container" "$service"
  done
  let_go
  sink_ends 0
}

@test "each kind of container is killed in the middle: all results, none twice" {
  slow_job
  results_in_file
  compose up -d --scale worker=2
  results=results/out
  wait_for 60 lines_reach "$results" 10
  docker kill "$(containers keys)" >killed.out
  for service in worker ventilator sink; do
    container=$(containers "$service" | head -n 1)
    kill_inside "$container" "zfarm-$service"
    wait_for 30 has_restarted "$container"
    wait_for 40 lines_reach "$results" $(($(wc -l <"$results") + 20))
  done
  let_go
  over 0
  all_results "$results"
  audited
}

@test "docker restart of the sink in the middle: the job goes on, all results, none twice" {
  slow_job
  results_in_file
  compose up -d --scale worker=2
  results=results/out
  wait_for 60 lines_reach "$results" 10
  docker restart -t 15 "$(the_one sink)" >restarted.out
  wait_for 60 lines_reach "$results" $(($(wc -l <"$results") + 20))
  let_go
  over 0
  all_results "$results"
  audited
}

@test "docker stop of a worker in the middle: its tasks run elsewhere, none has failed, and it stops at once" {
  export FARM_TASKS='seq 40' ZFARM_JOBS=2 ZFARM_GRACE=2 ZFARM_FORMAT=jsonl
  export FARM_COMMAND='until [ -e go ]; do sleep 0.1; done; echo {}'
  compose up -d --scale worker=2
  follow_sink
  both_run() {
    docker exec "$(the_one ventilator)" zfarm why --connect tcp://127.0.0.1:5556 --keys /keys/health >why.out
    (($(grep -c 'running on' why.out) == 2))
  }
  wait_for 60 both_run
  worker=$(containers worker | head -n 1)
  began=$SECONDS
  docker stop -t 30 "$worker" >stopped.out
  ((SECONDS - began < 15))
  (($(state "$worker" ExitCode) == 0))
  let_go
  sink_ends 0
  same <(seq 40) <(jq -j .stdout sink.out)
  says sink.err "40 tasks: 40 ok, 0 failed, 0 lost"
}

@test "docker stop of the ventilator in the middle stops the job, which goes on later" {
  slow_job
  results_in_file
  compose up -d --scale worker=2
  wait_for 60 lines_reach results/out 10
  docker stop -t 30 "$(the_one ventilator)" >stopped.out
  (($(state "$(the_one ventilator)" ExitCode) == 0))
  told() { docker logs "$(the_one sink)" 2>&1 | grep -qE 'interrupted|not read to its end'; }
  wait_for 30 told
  compose stop
  compose up -d --scale worker=2
  wait_for 60 lines_reach results/out $(($(wc -l <results/out) + 4))
  let_go
  over 0
  all_results results/out
  audited
}

@test "worker, sink and ventilator are cut off in the middle and come back: all results, none twice" {
  slow_job
  results_in_file
  compose up -d --scale worker=2
  results=results/out
  wait_for 60 lines_reach "$results" 10
  network=$(network)
  worker=$(containers worker | head -n 1)
  for service in worker ventilator sink; do
    container=$(containers "$service" | head -n 1)
    [[ $service != sink ]] || worker=$container
    docker network disconnect "$network" "$container"
    # Both ends know it when the limit of silence is over.
    wait_for 20 unhealthy "$worker" "$([[ $service == sink ]] && echo sink || echo worker)"
    docker network connect --alias "$service" "$network" "$container"
    wait_for 30 healthy "$worker" "$([[ $service == sink ]] && echo sink || echo worker)"
    wait_for 30 lines_reach "$results" $(($(wc -l <"$results") + 20))
  done
  let_go
  over 0
  all_results "$results"
  audited
}

@test "stopped in the middle it goes on; once over the next one is a new job, with the same keys" {
  slow_job
  results_in_file
  key() { docker exec "$(containers ventilator)" sha256sum /keys/own/secret.cert; }
  compose up -d
  wait_for 60 lines_reach results/out 10
  key >key.1
  compose stop
  cp results/out before
  compose up -d
  wait_for 60 lines_reach results/out $(($(wc -l <before) + 4))
  same <(head -n "$(wc -l <before)" results/out) before
  key >key.2
  same key.1 key.2
  let_go
  over 0
  all_results results/out
  audited
  export FARM_TASKS='echo 1; echo 2' FARM_COMMAND=echo ZFARM_FORMAT=text
  compose up --exit-code-from sink
  same <(printf '1\n2\n') results/out
}

@test "taken down in the middle of a job, nothing of it is left" {
  slow_job
  compose up -d --scale worker=4
  follow_sink
  wait_for 60 worked 4
  (($(what_is_there | wc -l) == 15)) # 7 containers, a network, 7 volumes
  take_down
}
