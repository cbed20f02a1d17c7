# SPDX-License-Identifier: MPL-2.0
# awk -F'|' -v what=processes|growth|ends|slots [-v ...] -f numbers.awk -f costs.awk COSTS: tables of what each process
# takes, and what follows from it. A line of COSTS is HOW|TASKS|SECONDS|CPU SECONDS|KIB|COMMAND.

function role_of(command) {
  if (command ~ /zfarm-ventilator /) return "ventilator"
  if (command ~ /zfarm-sink /) return "sink"
  if (command ~ /--plugin-host /) return "plugin"
  if (command ~ /zfarm-worker /) return "worker"
  return "rest"
}

# CPU seconds a task, the largest run of many.
function many(role) { return cpu["many", largest, role] / largest }

function alone(role) { return cpu["alone", isolated, role] / isolated }

function mib(role, tasks) { return sprintf("%.1f", kib["many", tasks, role] / 1024) }

function print_processes(  i, at, line) {
  line = "| process | CPU a task, ns | CPU a task that is alone, us"
  for (at = 1; at <= sizes; at++)
    line = line " | largest size at " thousands(size[at]) " tasks, MiB"
  print line " |"
  printf "| --- | ---: | ---: |"
  for (at = 1; at <= sizes; at++)
    printf " ---: |"
  print ""
  for (i = 1; i <= 5; i++) {
    line = sprintf("| %s | %.0f | %.1f", words[i], many(roles[i]) * 1e9, alone(roles[i]) * 1e6)
    for (at = 1; at <= sizes; at++)
      line = line " | " mib(roles[i], size[at])
    print line " |"
  }
}

function print_growth(  at) {
  print "| tasks | seconds | tasks/s |\n| ---: | ---: | ---: |"
  for (at = 1; at <= sizes; at++)
    printf "| %s | %.1f | %s |\n", thousands(size[at]), took[size[at]], thousands(size[at] / took[size[at]])
}

# The most that a core can do of it: in full batches, and if each task travels alone.
function print_ends(  i, role) {
  print "| one core of a | in full batches, tasks/s | each task alone, tasks/s |\n| --- | ---: | ---: |"
  for (i = 1; i <= 4; i++)
    if (roles[i] != "plugin")
      print "| " roles[i] " | " rounded(1 / many(roles[i])) " | " rounded(1 / alone(roles[i])) " |"
}

function least(a, b) { return a < b ? a : b }

function cell(slots, length_s,  wanted, end_alone, end_many) {
  wanted = slots / length_s
  end_alone = least(1 / alone("ventilator"), 1 / alone("sink"))
  end_many = least(1 / many("ventilator"), 1 / many("sink"))
  if (wanted < 10)
    return sprintf("%.2g", wanted)
  if (wanted <= end_alone)
    return thousands(wanted)
  return rounded(end_alone) " to " (wanted <= end_many ? thousands(wanted) : rounded(end_many))
}

function print_slots(  i, slots) {
  print "| slots | tasks of 1 ms | 10 ms | 1 s | 1 min |\n| ---: | ---: | ---: | ---: | ---: |"
  for (i = 0; i <= 2; i++) {
    slots = 100 ^ i
    print "| " thousands(slots) " | " cell(slots, 0.001) " | " cell(slots, 0.01) " | " cell(slots, 1) " | " \
      cell(slots, 60) " |"
  }
}

BEGIN {
  split("ventilator worker plugin sink rest", roles, " ")
  split("ventilator|worker|plugin, both slots|sink|zfarm run and the guard", words, "|")
}

{
  role = role_of($6)
  cpu[$1, $2, role] += $4
  if ($5 > kib[$1, $2, role])
    kib[$1, $2, role] = $5
  if ($1 == "alone")
    isolated = $2
  else if (!($2 in took))
    largest = size[++sizes] = $2
  took[$2] = $3
}

END {
  if (what == "processes") print_processes()
  else if (what == "growth") print_growth()
  else if (what == "ends") print_ends()
  else print_slots()
}
