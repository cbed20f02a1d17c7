# SPDX-License-Identifier: MPL-2.0
# awk -F'|' -f numbers.awk -f table.awk UNEQUALS: of each figure the median of the turns, and of what was too much the
# highest as well. A line is TASKS|FAST|SLOW|IDEAL|TOOK|TASKS OF THE SLOW ONE.

{
  key = $1 SUBSEP $2 SUBSEP $3
  if (!(key in runs))
    keys[++count] = key
  keep(key, $5 - $4)
  keep(key SUBSEP "ideal", $4)
  keep(key SUBSEP "took", $5)
  keep(key SUBSEP "slow", $6)
}

END {
  print "| tasks | a task of the fast one, s | of the slow one | ideal, s | took, s | too long by, s | at most | " \
    "in tasks of the slow one | the slow one's tasks |"
  print "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
  for (at = 1; at <= count; at++) {
    key = keys[at]
    split(key, of, SUBSEP)
    printf "| %s | %s | %s | %.3f | %.3f | %.3f | %.3f | %.2f | %d |\n", thousands(of[1]), of[2], of[3],
      median(key SUBSEP "ideal"), median(key SUBSEP "took"), median(key), highest(key), median(key) / of[3],
      median(key SUBSEP "slow")
  }
}
