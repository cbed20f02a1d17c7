#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# stack.yml as a stack of a swarm of one node. tests/cluster/run calls it with an engine of its own, which it
# may make a swarm of, and with the image.
load ../scenario/helpers

stack=$BATS_TEST_DIRNAME/../../stack.yml

setup() {
  cd "$BATS_TEST_TMPDIR" || return
  export SCENARIO_MARK=$$-$BATS_TEST_NUMBER-$RANDOM$RANDOM
  export FARM_KEYS=$PWD/keys
  "$ZFARM_BIN/zfarm" keys keys worker health >keys.out
  docker swarm init --advertise-addr 127.0.0.1 --listen-addr 127.0.0.1:2377 >swarm.out
}

teardown() {
  local verdict=0
  [[ -n ${BATS_TEST_COMPLETED:-} ]] || logs_of_all
  docker stack rm farm >rm.out 2>&1 || verdict=1
  wait_for 60 nothing_runs || verdict=1
  docker volume ls --quiet --filter label=com.docker.stack.namespace=farm |
    xargs -r docker volume rm >rm.out || verdict=1
  docker swarm leave --force >leave.out
  # Of the swarm, and it would outlive the engine.
  docker network rm docker_gwbridge >>leave.out || verdict=1
  [[ -n ${BATS_TEST_COMPLETED:-} && $verdict == 0 ]] || show_files
  return "$verdict"
}

nothing_runs() { [[ -z $(docker container ls --all --quiet) ]]; }

logs_of_all() {
  local service
  for service in ventilator worker sink; do
    timeout 10 docker service logs --raw "farm_$service" >"$service.out" 2>&1 || true
    docker service ps --no-trunc "farm_$service" >"$service.tasks.out" 2>&1 || true
  done
}

# containers SERVICE [OPTION]...
containers() { docker container ls --quiet --filter "label=com.docker.swarm.service.name=farm_$1" "${@:2}"; }

workers_run() { (($(containers worker | wc -l) == $1)); }

# What all sinks have printed. (`docker service logs` may hang when one of them has gone.)
sink_log() {
  local container
  for container in $(containers sink --all); do docker logs "$container" 2>&1; done
}

printed() { sink_log | grep -cE '^[0-9]+$' || true; }

printed_reaches() { (($(printed) >= $1)); }

is_new() { [[ $(containers "$1") && $(containers "$1") != "$2" ]]; }

sink_says() { sink_log | grep -F -- "$1" >said.out; }

# crash SERVICE: its program is killed inside its container, and the swarm starts another.
crash() {
  local container
  container=$(containers "$1")
  docker exec "$container" bash -c '
    for directory in /proc/[0-9]*; do
      [[ $(<"$directory/comm") != "$1" ]] || kill -s KILL "${directory##*/}"
    done' - "${2:0:15}"
  wait_for 60 is_new "$1" "$container"
}

@test "a stack: more and fewer workers, sink and ventilator killed in the middle, and each result once" {
  # Its tasks take long until there is a file in a volume that all workers of a node have.
  export FARM_TASKS='seq 600' FARM_COMMAND='[ -e /scratch/go ] || sleep 0.5; echo' ZFARM_JOBS=2
  docker stack deploy --resolve-image never -c "$stack" farm >deploy.out
  wait_for 60 printed_reaches 10
  docker service scale --detach farm_worker=6 >scale.out
  wait_for 60 workers_run 6
  crash ventilator zfarm-ventilator
  wait_for 60 printed_reaches $(($(printed) + 20))
  crash sink zfarm-sink
  wait_for 60 printed_reaches $(($(printed) + 20))
  docker service scale --detach farm_worker=2 >scale.out
  wait_for 60 workers_run 2
  docker exec "$(containers worker | head -n 1)" touch /scratch/go
  wait_for 60 sink_says "600 tasks: 600 ok, 0 failed, 0 lost"
  wait_for 30 workers_run 0
  # The last transaction before the sink was killed may be in its log twice: the database is exact.
  sink_log | grep -xE '[0-9]+' | sort -nu >results.out
  same <(seq 600) results.out
  docker cp "$(containers sink --all | head -n 1):/store/farm.db" farm.db
  "$ZFARM_BIN/zfarm" verify farm.db >verified.out
  says verified.out "results: 600 " && says verified.out "double: 0 " && says verified.out "all is there"
  # Nobody's secret is where it can be read.
  docker service inspect farm_ventilator farm_worker farm_sink >told.txt
  docker container ls --all --quiet | xargs docker inspect >>told.txt
  for member in ventilator sink worker health; do
    secret=$(sed -n 's/.*secret-key = "\(.*\)"/\1/p' "keys/$member/secret.cert")
    ((${#secret} == 40))
    run ! grep -qF -- "$secret" told.txt
  done
}
