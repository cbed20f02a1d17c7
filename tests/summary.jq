# Reads Meson's testlog.json (slurped) and prints what failed, then "N passed, N failed". A program
# that writes TAP counts by its tests, any other as one; one that crashed or hung without telling of a
# failure is one failure.
def lines: (.stdout // "") | split("\n");
def tap($pattern): [lines[] | select(test($pattern) and (test("# *skip"; "i") | not))];

map({
  name,
  result,
  said: ((.stdout // "") + (.stderr // "")),
  passed: tap("^ok\\b"),
  failed: tap("^not ok\\b"),
  told: ([lines[] | select(test("^(not )?ok\\b|^1\\.\\."))] | length > 0)
} | if .result == "OK" and (.told | not) then .passed = [.name]
  elif (.result | IN("OK", "SKIP") | not) and .failed == [] then .failed = ["\(.name): \(.result)"]
  else . end)
| (.[] | select(.failed != []) | "", "FAILED \(.name):", .failed[], "", (.said | split("\n")[-60:][])),
  "\(map(.passed | length) | add // 0) passed, \(map(.failed | length) | add // 0) failed"
