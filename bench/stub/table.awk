# SPDX-License-Identifier: MPL-2.0
# awk -f numbers.awk -f stub/table.awk CROWDS: the table of what stub/run has printed.

function number(text) {
  gsub(/[^0-9.]/, "", text)
  return text
}

BEGIN {
  print "| workers | tasks/s | ratio | ventilator, ns | sink, ns | the workers together, ns |"
  print "| ---: | ---: | ---: | ---: | ---: | ---: |"
}

{
  count = split($0, words, " ")
  if (count != 14)
    exit (failed = 1)
  printf "| %s | %s | %s | %s | %s | %s |\n", thousands(words[1]), thousands(words[3]), number(words[5]), words[9],
    number(words[12]), words[14]
}

END {
  if (failed || NR < 2)
    exit 1
}
