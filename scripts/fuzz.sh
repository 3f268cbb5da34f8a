#!/usr/bin/env bash
# Runs every fuzz target of the repository, one after the other, for the time
# given as the only argument (10s by default). Goes on after a failure, so that
# one run shows all of them, and fails at the end.
set -euo pipefail
cd "$(dirname "$0")/.."

time=${1:-10s}
targets=$(grep -rnoE --include='*_test.go' --exclude-dir=.git --exclude-dir=node_modules --exclude-dir=testdata \
	'^func Fuzz[A-Za-z0-9_]*' . | sed -E 's|^(.*)/[^/]*:[0-9]+:func (Fuzz.*)$|\1 \2|' | sort -u) || true
if [ -z "$targets" ]; then
	echo 'no fuzz target found' >&2
	exit 1
fi

failed=()
while read -r dir name; do
	echo "fuzz $dir $name for $time"
	if ! (cd "$dir" && go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" . </dev/null); then
		failed+=("$dir $name")
	fi
done <<<"$targets"

if [ "${#failed[@]}" -gt 0 ]; then
	printf 'fuzz target failed: %s\n' "${failed[@]}" >&2
	exit 1
fi
