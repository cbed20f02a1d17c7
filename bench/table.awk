# SPDX-License-Identifier: MPL-2.0
# awk -F'|' -v work=W1 -f table.awk FIGURES: the table of a work; with work=short, what zfarm has in all of them.
# A line of FIGURES is WORK|SYSTEM|COUNT|SECONDS|KIB, and the first system of a work is its reference.

function thousands(number,  text, groups) {
  for (text = sprintf("%.0f", number); length(text) > 3; text = substr(text, 1, length(text) - 3))
    groups = "," substr(text, length(text) - 2) groups
  return text groups
}

# Puts the seconds of a run in their place among those of the system's other runs.
function insert(key, value,  at) {
  for (at = ++runs[key]; at > 1 && seconds[key, at - 1] > value; at--)
    seconds[key, at] = seconds[key, at - 1]
  seconds[key, at] = value
}

function median(key,  middle) {
  middle = int((runs[key] + 1) / 2)
  return (seconds[key, middle] + seconds[key, runs[key] + 1 - middle]) / 2
}

# W4 compares times, W6 megabytes a second, the others tasks a second.
function unit(of) {
  return of == "W4" ? "seconds" : of == "W6" ? "MB/s" : "tasks/s"
}

function speed(of, taken) {
  return of == "W6" ? thousands(count[of] / 1e6 / taken) : thousands(count[of] / taken)
}

function ratio(of, key,  reference) {
  reference = median(of SUBSEP name[of, 1])
  return sprintf("%.2f", of == "W4" ? median(key) / reference : reference / median(key))
}

function row(key) {
  if (work == "W4")
    return sprintf("%.2f | %.2f | %.2f", median(key), seconds[key, 1], seconds[key, runs[key]])
  return speed(work, median(key)) " | " speed(work, seconds[key, runs[key]]) " | " speed(work, seconds[key, 1])
}

function print_table(  at, key, size) {
  size = work == "W1"
  print "| system | " unit(work) ", median | min | max | ratio to " name[work, 1] \
    (size ? " | largest process |" : " |")
  print "| --- | ---: | ---: | ---: | ---: |" (size ? " ---: |" : "")
  for (at = 1; at <= systems[work]; at++) {
    key = work SUBSEP name[work, at]
    print "| " name[work, at] " | " row(key) " | " ratio(work, key) \
      (size ? sprintf(" | %.1f MiB |", kib[key] / 1024) : " |")
  }
}

function print_short(  at, of) {
  print "| | zfarm | against | ratio | better is |\n| --- | ---: | --- | ---: | --- |"
  for (at = 1; "W" at in systems; at++) {
    of = work = "W" at
    split(row(of SUBSEP "zfarm"), cells, " [|] ")
    print "| " of " | " cells[1] " " unit(of) " | " name[of, 1] " | " \
      ratio(of, of SUBSEP "zfarm") " | " (of == "W4" ? "lower |" : "higher |")
  }
}

{
  key = $1 SUBSEP $2
  if (!(key in runs))
    name[$1, ++systems[$1]] = $2
  count[$1] = $3
  insert(key, $4)
  if ($5 > kib[key])
    kib[key] = $5
}

END {
  if (work == "short")
    print_short()
  else
    print_table()
}
