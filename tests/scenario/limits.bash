# SPDX-License-Identifier: MPL-2.0
# shellcheck shell=bash
# shellcheck disable=SC2016 # the quoted variables are of the shells that are started
# Farms that may have few descriptors or processes. Load it behind helpers and farm.

one_line() { [[ $(grep -c . "$1") == 1 ]] || { cat "$1"; return 1; }; }

# with_limit OPTION VALUE COMMAND...
with_limit() { (ulimit "$1" "$2" && shift 2 && exec "$@"); }

# works_or_says STATUS COUNT: either all of the COUNT results are there and fewer at a time is said at most
# once, or there is one sentence and 255.
works_or_says() {
  if (($1 == 0)); then
    (($(grep -c . err) <= 2)) || { cat err; return 1; }
    one_each out "$2"
  else
    (($1 == 255)) && one_line err && [[ ! -s out ]]
  fi
}

# with_few_files COUNT
with_few_files() {
  local status=0
  echo "--- ulimit -n $1"
  with_limit -n "$1" timeout 60 zfarm run -j60 --shell 'sleep 0.01; echo {}' :::: <(seq 60) >out 2>err || status=$?
  works_or_says "$status" 60
  (($1 < 64)) || ((status == 0))
  ((status)) || [[ $(grep -c 'at a time and not 60' err) == 1 ]]
}

# with_few_processes COUNT: as a user who has no process yet, which only root can become.
with_few_processes() {
  local status=0
  echo "--- ulimit -u $1"
  chmod 777 .
  seq 40 >in && chmod 644 in
  timeout 60 setpriv --reuid 64321 --regid 64321 --clear-groups \
    bash -c 'ulimit -u "$1" && exec zfarm run -j40 -a in --shell "sleep 0.05; echo {}"' - "$1" >out 2>err || status=$?
  works_or_says "$status" 40
}
