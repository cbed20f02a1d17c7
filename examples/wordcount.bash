#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# wordcount.bash FOLDER [PATTERN]: how often each word stands in the files below FOLDER whose names
# match PATTERN (all), the most frequent word first. A word is letters and underscores. `zfarm` must
# be in PATH.
#
#     examples/wordcount.bash /usr/include '*.h' | head
#
# This is how to map and reduce with a farm. Map is what can be done to each file without knowing of
# the others: it is the farm's COMMAND. Reduce needs all results: it reads what the farm prints.
# shellcheck disable=SC2016 # $i and $2 are awk's
set -euo pipefail
export LC_ALL=C # letters are A to Z, and words are sorted by their bytes, on whatever machine

(($# == 1 || $# == 2)) || { echo "usage: wordcount.bash FOLDER [PATTERN]" >&2; exit 255; }

# Counts before it prints, so that what travels is a line for each word of a task and not for each
# word of its files.
map='
  { for (i = 1; i <= NF; i++) if ($i != "") count[$i]++ }
  END { for (word in count) print count[word], word }'

# Sums the counts that the tasks found. Sums do not care who comes first, so the farm needs no -k.
reduce='
  { count[$2] += $1 }
  END { for (word in count) print count[word], word }'

# -0: a file's name may hold anything but a NUL. -n 50: so many files a task, because to start awk
# costs more than to count one file. A file that cannot be read is a failed task, and the farm says
# so and ends with 1; pipefail makes that the end of the script, too.
find "$1" -type f -name "${2-*}" -print0 |
  zfarm run -0 -n 50 -- awk -F '[^A-Za-z_]+' "$map" {} |
  awk "$reduce" |
  sort -k 1,1nr -k 2
