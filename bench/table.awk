# SPDX-License-Identifier: MPL-2.0
# awk -F'|' -v work=W1 -f numbers.awk -f table.awk FIGURES: the table of a work; with work=short, what zfarm has in all.
# A line of FIGURES is WORK|SYSTEM|COUNT|SECONDS|KIB, and the first system of a work is its reference.

# W4 compares times, W6 megabytes a second, the others tasks a second.
function unit(of) {
  return of == "W4" ? "seconds" : of == "W6" ? "MB/s" : "tasks/s"
}

function speed(key, taken) {
  return work == "W6" ? thousands(count[key] / 1e6 / taken) : thousands(count[key] / taken)
}

# What is to be compared: for W4 less is better, else more.
function merit(of, key) {
  return of == "W4" ? median(key) : count[key] / median(key)
}

function ratio(of, key) {
  return sprintf("%.2f", merit(of, key) / merit(of, of SUBSEP name[of, 1]))
}

function row(key) {
  if (work == "W4")
    return sprintf("%.2f | %.2f | %.2f", median(key), lowest(key), highest(key))
  return speed(key, median(key)) " | " speed(key, highest(key)) " | " speed(key, lowest(key))
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
  count[key] = $3
  keep(key, $4)
  if ($5 > kib[key])
    kib[key] = $5
}

END {
  if (work == "short")
    print_short()
  else
    print_table()
}
