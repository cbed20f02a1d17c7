# jq -s --argjson fast S --argjson slow S --argjson count N -f makespan.jq RESULTS.jsonl: IDEAL|TOOK|TASKS OF THE SLOW
# ONE, in seconds. Ideal is: every task in turn goes to whoever will have done it first. From the first task's start to
# the last one's end is what it took, without starting and ending programs.

# The mean of what the tasks of a worker took: a sleep is a little longer than it should be.
def mean($worker; $otherwise): [.[] | select(.worker == $worker) | .seconds] | if length > 0 then add / length else $otherwise end;

def ideal($each_fast; $each_slow): reduce range($count) as $task ({fast: 0, slow: 0};
  if .fast + $each_fast <= .slow + $each_slow then .fast += $each_fast else .slow += $each_slow end) | [.fast, .slow] | max;

if length != $count or any(.[]; .status != "ok" or .stdout != .task + "\n") or (map(.seq) | unique | length) != $count
then error("not every task has its result once") else . end |
[ ideal(mean("fast"; $fast); mean("slow"; $slow)), (map(.start + .seconds) | max) - (map(.start) | min) ] +
[ [.[] | select(.worker == "slow")] | length ] |
"\(.[0] * 10000 | round / 10000)|\(.[1] * 10000 | round / 10000)|\(.[2])"
