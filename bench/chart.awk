# SPDX-License-Identifier: MPL-2.0
# awk -F'|' -f numbers.awk -f chart.awk FIGURES >chart.svg: a bar for each system of each work, as long as it is fast;
# the fastest of a work fills the width. The colours are those of a page in light or in dark, whichever is asked for.

function text(x, y, class, words) {
  gsub(/&/, "\\&amp;", words)
  gsub(/</, "\\&lt;", words)
  printf "<text x=\"%d\" y=\"%d\" class=\"%s\">%s</text>\n", x, y, class, words
}

function speed(key) { return count[key] / median(key) }

function label(work, key) {
  if (work == "W4")
    return sprintf("%.2f s", median(key))
  return work == "W6" ? thousands(speed(key) / 1e6) " MB/s" : thousands(speed(key)) " tasks/s"
}

function draw_bar(work, who, best, y,  key, class) {
  key = work SUBSEP who
  class = who == "zfarm" ? "ours" : "other"
  text(150, y + 12, "name", who)
  printf "<rect x=\"160\" y=\"%d\" width=\"%.1f\" height=\"14\" rx=\"2\" class=\"%s\"/>\n", y,
    420 * speed(key) / best + 1, class
  text(168 + 420 * speed(key) / best, y + 12, class == "ours" ? "strong" : "value", label(work, key))
}

function draw_work(work, y,  at, best) {
  for (at = 1; at <= systems[work]; at++)
    if (speed(work SUBSEP name[work, at]) > best)
      best = speed(work SUBSEP name[work, at])
  text(10, y + 14, "title", titles[work])
  for (at = 1; at <= systems[work]; at++)
    draw_bar(work, name[work, at], best, y + 4 + 18 * at)
  return y + 18 * systems[work] + 40
}

BEGIN {
  titles["W1"] = "W1: numbers, by a plugin"
  titles["W2"] = "W2: /bin/true"
  titles["W3"] = "W3: sh -c 'echo ...', outputs in the order of the input"
  titles["W4"] = "W4: unequal sleeps, whole time (a longer bar is sooner done)"
  titles["W5"] = "W5: numbers, into a store"
  titles["W6"] = "W6: a large input in blocks"
  titles["W7"] = "W7: numbers, by a program that stays"
  titles["W8"] = "W8: numbers, with keys"
  titles["W9"] = "W9: /bin/true, with keys"
}

$1 in titles {
  key = $1 SUBSEP $2
  if (!(key in runs)) {
    name[$1, ++systems[$1]] = $2
    rows++
  }
  count[key] = $3
  keep(key, $4)
}

END {
  for (at = 1; "W" at in systems; at++)
    works++
  height = rows * 18 + works * 40 + 10
  printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"740\" height=\"%d\" viewBox=\"0 0 740 %d\" ", height, height
  print "role=\"img\" font-family=\"sans-serif\" font-size=\"12\">"
  print "<title>zfarm and what is used instead of it: a longer bar is faster</title>"
  print "<style>"
  print ".title { font-weight: bold } .name { text-anchor: end } .strong { font-weight: bold }"
  print "text { fill: #1f2328 } .ours { fill: #0969da } .other { fill: #afb8c1 }"
  print "@media (prefers-color-scheme: dark) {"
  print "  text { fill: #e6edf3 } .ours { fill: #4493f8 } .other { fill: #545d68 }"
  print "}"
  print "</style>"
  y = 6
  for (at = 1; at <= works; at++)
    y = draw_work("W" at, y)
  print "</svg>"
}
