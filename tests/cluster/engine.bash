# SPDX-License-Identifier: MPL-2.0
# shellcheck shell=bash
# A Docker engine for the time of a test. It lives in mount and process namespaces of its own, so that
# nothing of it outlives it, and changes no network of this machine: it has no bridge for all, no
# firewall rules and no forwarding, so what builds an image must use the host's network.

engine='' engine_place='' # the process that holds the namespaces; a directory
bridges=''                # those of other engines

# engine_start DATA: what was pulled and built is kept in the directory DATA. Sets DOCKER_HOST. Fails,
# with words, if no engine comes up.
engine_start() {
  local deadline=$((SECONDS + 60))
  engine_place=$(mktemp -d)
  bridges=$(engine_bridges)
  mkdir -p "$1"
  export DOCKER_HOST=unix://$engine_place/socket
  setpriv --pdeathsig KILL \
    unshare --mount --propagation slave --pid --fork --kill-child --mount-proc \
    dockerd --host "$DOCKER_HOST" --data-root "$(realpath "$1")" --exec-root "$engine_place/exec" \
    --pidfile "$engine_place/pid" --bridge none --iptables=false --ip-forward=false \
    </dev/null >"$engine_place/log" 2>&1 &
  engine=$!
  until docker info >/dev/null 2>&1; do
    if ! kill -0 "$engine" 2>/dev/null || ((SECONDS > deadline)); then
      echo "no Docker engine can be started: $(tail -n 1 "$engine_place/log")"
      return 1
    fi
    sleep 0.1
  done
}

# engine_stop: ends the engine that engine_start started, if there is one, and all that it runs.
engine_stop() {
  [[ $engine ]] || return 0
  local dockerd deadline=$((SECONDS + 40))
  # All in it is ours. A bridge is the one thing that would outlive it.
  docker container ls --all --quiet | timeout 20 xargs -r docker container rm --force --volumes || true
  timeout 10 docker swarm leave --force || true
  timeout 10 docker network rm docker_gwbridge || true
  timeout 10 docker network prune --force || true
  timeout 10 docker volume prune --force || true
  dockerd=$(cat "/proc/$engine/task/$engine/children") || true
  [[ ! $dockerd ]] || kill "${dockerd%% *}" || true # unshare itself takes no TERM
  while kill -0 "$engine" && ((SECONDS < deadline)); do
    sleep 0.1
  done
  kill -s KILL "$engine" || true
  wait "$engine" || true
  engine=''
  rm -rf --one-file-system "$engine_place"
} >/dev/null 2>&1

engine_bridges() { find /sys/class/net \( -name 'br-*' -o -name docker_gwbridge \) -printf '%f\n' | sort; }

# engine_left: prints what is left of the engine after engine_stop.
engine_left() {
  grep -lzF -- "$engine_place" /proc/[0-9]*/cmdline
  grep -hF -- "$engine_place" /proc/self/mountinfo
  comm -13 <(echo "$bridges") <(engine_bridges)
  [[ ! -e $engine_place ]] || echo "$engine_place"
} 2>/dev/null
