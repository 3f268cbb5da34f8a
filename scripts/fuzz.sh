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

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Minimising an input has its own bound: left to its default of a minute it
# takes all of a short run.
run() {
	(cd "$1" && go test -run '^$' -fuzz "^$2\$" -fuzztime "$time" -fuzzminimizetime 10x . </dev/null) 2>&1 | tee "$log"
}

failed=()
while read -r dir name; do
	echo "fuzz $dir $name for $time"
	if run "$dir" "$name"; then
		continue
	fi
	# On a busy machine go test sometimes reports the end of its own fuzztime as
	# a failure, without an input. That, and nothing else, is tried again.
	passed=
	for _ in 1 2 3; do
		if ! grep -q 'context deadline exceeded' "$log" || grep -q 'Failing input' "$log"; then
			break
		fi
		if run "$dir" "$name"; then
			passed=yes
			break
		fi
	done
	[ -n "$passed" ] || failed+=("$dir $name")
done <<<"$targets"

if [ "${#failed[@]}" -gt 0 ]; then
	printf 'fuzz target failed: %s\n' "${failed[@]}" >&2
	exit 1
fi
