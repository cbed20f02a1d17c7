#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# Workers as jobs of a real Slurm, which takes its nodes back as it does. `./dev slurm` runs this in namespaces of its
# own; it must not run anywhere else.
# shellcheck disable=SC2016,SC2154 # the quoted variables are another shell's; farm.bash sets others
load ../scenario/helpers
load ../scenario/farm

# Two nodes of two processors on this host. KILL comes 5 s after TERM.
write_configuration() {
  local node
  cat <<CONF
ClusterName=farm
SlurmctldHost=localhost
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$place/munge/socket
StateSaveLocation=$place/state
SlurmdSpoolDir=$place/spool.%n
SlurmctldPidFile=$place/slurmctld.pid
SlurmdPidFile=$place/slurmd.%n.pid
SlurmctldLogFile=$place/slurmctld.log
SlurmdLogFile=$place/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=1,sched_interval=5
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
KillWait=5
CONF
  for node in 1 2; do
    mkdir -p "$place/spool.n$node"
    echo "NodeName=n$node NodeHostname=localhost Port=$((17000 + node)) CPUs=2 RealMemory=100"
  done
  echo "PartitionName=farm Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP"
}

nodes_are_idle() { (($(sinfo --noheader --Node --states idle --format %N 2>/dev/null | sort -u | wc -l) == 2)); }

setup_file() {
  ip link set lo up
  # The resolver looks nothing up on a machine that has no address but loopback's.
  ip link add veth0 type veth peer name veth1
  ip addr add 10.78.0.1/24 dev veth0
  ip link set veth0 up
  hostname localhost # a name that the resolver knows without a network
  # The path of a socket is short; what is here belongs to other users, too.
  export place=$BATS_FILE_TMPDIR/slurm
  export SLURM_CONF=$place/slurm.conf
  mkdir -p "$place/munge" "$place/state"
  chmod 755 "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR" "$place" "$place/munge"
  head -c 1024 /dev/urandom >"$place/munge/key"
  chown -R munge: "$place/munge"
  chmod 400 "$place/munge/key"
  write_configuration >"$SLURM_CONF"
  {
    runuser -u munge -- munged --key-file="$place/munge/key" --socket="$place/munge/socket" \
      --pid-file="$place/munge/pid" --log-file="$place/munge/log" --seed-file="$place/munge/seed"
    slurmctld
    slurmd -N n1
    slurmd -N n2
  } >"$place/daemons.log" 2>&1 3>&- # bats waits for whoever holds its descriptors
  wait_for 60 nodes_are_idle
}

is_gone() { ! kill -0 "$1" 2>/dev/null; }

# Each daemon, by the number that it wrote; the controller writes its state when it is told to end.
teardown_file() {
  local file pid
  for file in "$place"/slurmd.*.pid "$place"/slurmctld.pid "$place"/munge/pid; do
    pid=$(<"$file")
    kill "$pid"
    wait_for 30 is_gone "$pid"
  done
}

# Tasks run until there is a file `go`. `begun` has each start, `pids` the shells that are the tasks.
task='echo $$ >>pids; echo {} >>begun; while [ ! -e go ]; do sleep 0.05; done; echo {}'

ignores_term() { task="trap '' TERM; $task"; }

# job NAME OPTION... -- COMMAND...: a batch job whose script runs COMMAND; its number is in NAME.job.
job() {
  local name=$1 options=()
  shift
  while [[ $1 != -- ]]; do
    options+=("$1")
    shift
  done
  shift
  {
    echo '#!/bin/bash'
    printf '%q ' exec "$@"
  } >"$name.sh"
  sbatch --parsable --export=ALL --chdir="$PWD" --output="$name.log" "${options[@]}" "$name.sh" >"$name.job"
}

state_is() { [[ $(scontrol show job "$(<"$1.job")" | grep -o 'JobState=[A-Z]*') == "JobState=$2" ]]; }

# farm_without_worker INPUT
farm_without_worker() {
  farm_places
  ventilator "$1"
  sink
}

# worker_of_slurm NAME [OPTION...]: a worker of two slots as a step of a job.
worker_of_slurm() {
  job "$1" -n1 -c2 -- srun zfarm-worker --connect "$control" --name "$1" -j2 "${@:2}" --shell "$task"
}

# The tasks that the first worker had run at the second one, and none of them has failed.
second_worker_runs_them() {
  touch go
  worker_of_slurm two
  ends sink 60 0
  ends ventilator 20 0
  wait_for 30 state_is two COMPLETED
  one_each sink.out 2
  summary_is sink.err '2 tasks: 2 ok, 0 failed, 0 lost;'
}

none_of_the_first_is_left() {
  local pid
  while read -r pid; do
    is_gone "$pid" || return 1
  done <pids
}

@test "workers on both nodes, as tasks of one job: each result once, and the job is complete" {
  farm_without_worker <(seq 400)
  job workers -N2 -n2 -c2 -- srun zfarm-worker --connect "$control" -j2 --shell 'sleep 0.02; echo {}'
  ends sink 60 0
  ends ventilator 20 0
  wait_for 30 state_is workers COMPLETED
  one_each sink.out 400
  summary_is sink.err '400 tasks: 400 ok, 0 failed, 0 lost; 2 workers'
}

@test "scancel of a job whose worker is a step: its tasks run elsewhere, and none has failed" {
  farm_without_worker <(seq 2)
  worker_of_slurm one
  wait_for 30 lines_reach begun 2
  scancel "$(<one.job)"
  wait_for 30 state_is one CANCELLED
  wait_for 20 none_of_the_first_is_left
  second_worker_runs_them
}

@test "scancel --full of a batch script that is the worker: its tasks run elsewhere, and none has failed" {
  farm_without_worker <(seq 2)
  job one -n1 -c2 -- zfarm-worker --connect "$control" --name one -j2 --grace 1 --shell "$task"
  wait_for 30 lines_reach begun 2
  scancel --full --signal TERM "$(<one.job)"
  wait_for 20 none_of_the_first_is_left
  second_worker_runs_them
}

@test "a worker with --grace has handed back its tasks before the KILL comes, though they ignore TERM" {
  ignores_term
  farm_without_worker <(seq 2)
  worker_of_slurm one --grace 1
  wait_for 30 lines_reach begun 2
  scancel "$(<one.job)"
  wait_for 30 state_is one CANCELLED
  wait_for 20 none_of_the_first_is_left
  second_worker_runs_them
  run ! says ventilator.err "is silent"
}

@test "a job that is requeued begins anew: its worker comes back and runs what it had" {
  farm_without_worker <(seq 2)
  job one --requeue -n1 -c2 -- zfarm-worker --connect "$control" --name one -j2 --shell "$task"
  wait_for 30 lines_reach begun 2
  scontrol requeue "$(<one.job)"
  wait_for 20 none_of_the_first_is_left
  second_worker_runs_them
  scancel "$(<one.job)"
}
