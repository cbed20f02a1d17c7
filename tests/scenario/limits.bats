#!/usr/bin/env bats
# SPDX-License-Identifier: MPL-2.0
# Limits of open files and of processes, each one near the edge: exhaustion.bats tries some of them.
load helpers
load farm
load limits

@test "at limits of open files from 18 to 128 a farm works with fewer, or says one sentence" {
  local n
  for n in {18..24} {44..72} {80..128..8}; do
    with_few_files "$n"
  done
}

@test "at limits of processes from 10 to 60 a farm works with fewer, or says one sentence" {
  ((UID == 0)) || skip "only root can become a user who has no process yet"
  local n
  for n in {10..32} {35..60..5}; do
    with_few_processes "$n"
  done
}
