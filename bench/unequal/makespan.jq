# jq -s --argjson fast S --argjson slow S --argjson count N -f makespan.jq RESULTS.jsonl: IDEAL|TOOK|TASKS OF THE SLOW
# ONE, in seconds. Ideal is: every task in turn goes to whoever will have done it first. From the first task's start to
# the last one's end is what it took, without starting and ending programs.

# How long a task of that worker takes, with what is between it and the next: the mean from start to start, without
# what is more than twice the median, when it waited for tasks. A sleep alone is a little longer than it should be, and
# by how much differs, so that a thousand times the median is not how long a thousand take.
def pace($worker; $otherwise):
  [.[] | select(.worker == $worker) | .start] | sort | [range(1; length) as $i | .[$i] - .[$i - 1]] | sort |
  if length > 0 then .[length / 2 | floor] as $median | map(select(. <= 2 * $median)) | add / length
  else $otherwise end;

def ideal($each_fast; $each_slow): reduce range($count) as $task ({fast: 0, slow: 0};
  if .fast + $each_fast <= .slow + $each_slow then .fast += $each_fast else .slow += $each_slow end) |
  [.fast, .slow] | max;

if length != $count or any(.[]; .status != "ok" or .stdout != .task + "\n") or (map(.seq) | unique | length) != $count
then error("not every task has its result once") else . end |
[ ideal(pace("fast"; $fast); pace("slow"; $slow)), (map(.start + .seconds) | max) - (map(.start) | min) ] +
[ [.[] | select(.worker == "slow")] | length ] |
"\(.[0] * 10000 | round / 10000)|\(.[1] * 10000 | round / 10000)|\(.[2])"
