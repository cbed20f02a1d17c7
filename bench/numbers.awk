# SPDX-License-Identifier: MPL-2.0
# What the other awk files here share: awk -f numbers.awk -f ...

function thousands(number,  text, groups) {
  for (text = sprintf("%.0f", number); length(text) > 3; text = substr(text, 1, length(text) - 3))
    groups = "," substr(text, length(text) - 2) groups
  return text groups
}

# Puts a value in its place among the others of `key`: kept[key, 1] is the lowest.
function keep(key, value,  at) {
  for (at = ++runs[key]; at > 1 && kept[key, at - 1] > value; at--)
    kept[key, at] = kept[key, at - 1]
  kept[key, at] = value
}

function lowest(key) { return kept[key, 1] }

function highest(key) { return kept[key, runs[key]] }

function median(key,  middle) {
  middle = int((runs[key] + 1) / 2)
  return (kept[key, middle] + kept[key, runs[key] + 1 - middle]) / 2
}

# Two figures that count, as people write them.
function rounded(number,  unit) {
  for (unit = 1; number / unit >= 100; unit *= 10)
    ;
  return thousands(int(number / unit + 0.5) * unit)
}
