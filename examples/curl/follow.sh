#!/usr/bin/env bash
# A durable job with nothing but curl: submitted, read for a moment, cut off, and read on after the last event seen.
set -euo pipefail
url=${SLUICE_URL:-http://127.0.0.1:4100}
if [ -z "${SLUICE_API_KEY:-}" ]; then
  echo 'Set SLUICE_API_KEY to an API key; Sluice prints one at its first start.' >&2
  exit 1
fi
# From a file, so that "ps" does not show the key
auth=$(mktemp) seen=$(mktemp)
trap 'rm -f "$auth" "$seen"' EXIT
printf 'authorization: Bearer %s\n' "$SLUICE_API_KEY" >"$auth"

ask='{"request": {"model": "demo", "messages": [{"role": "user", "content": "Hello. demo: tokens=100 delay=20"}]}}'
json='content-type: application/json'
made=$(curl -sS --fail-with-body --max-time 20 "$url/v1/jobs" -H "@$auth" -H "$json" -d "$ask") ||
  { echo "$made" >&2; exit 1; }
job=$(sed 's/.*"id":"\([^"]*\)".*/\1/' <<<"$made")
echo "# $job"

# The connection is cut after a second; the job goes on
curl -sSN --max-time 1 "$url/v1/jobs/$job/events" -H "@$auth" >"$seen" 2>/dev/null || true
cat "$seen"
# Of the last whole event: each ends with an empty line
last=$(awk '/^id: / { id = $2 } /^$/ { last = id } END { print last }' "$seen")
echo "# cut; reading on after ${last:-the start}"
curl -sSN --max-time 60 "$url/v1/jobs/$job/events" -H "@$auth" ${last:+-H "last-event-id: $last"}
