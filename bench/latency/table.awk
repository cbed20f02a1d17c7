# SPDX-License-Identifier: MPL-2.0
# awk -F'|' [-v short=1] -f numbers.awk -f table.awk LATENCIES: the table of round trips, of each figure the median of
# the turns. A line is SYSTEM|TASKS|HALF|90 OF 100|99 OF 100|LONGEST. With short, only zfarm's line of the summary.

function all(who,  column, text) {
  for (column = 3; column <= 6; column++)
    text = text sprintf(" | %.0f", median(who SUBSEP column))
  return text
}

function ratio(who) {
  return sprintf("%.2f", median(who SUBSEP 3) / median("bare ring" SUBSEP 3))
}

{
  for (column = 3; column <= 6; column++)
    keep($1 SUBSEP column, $column)
}

END {
  if (short) {
    printf "| round trip | %.0f us | bare ring | %s | lower |\n", median("zfarm" SUBSEP 3), ratio("zfarm")
    exit
  }
  print "| system | half take at most, us | 90 of 100 | 99 of 100 | longest | ratio to bare ring |"
  print "| --- | ---: | ---: | ---: | ---: | ---: |"
  print "| bare ring" all("bare ring") " | 1.00 |"
  print "| zfarm" all("zfarm") " | " ratio("zfarm") " |"
}
