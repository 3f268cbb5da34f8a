#!/usr/bin/env bash
# Runs a command that runs Go tests verbosely, and fails also if the test NAME did
# not run: `go test -run` of a name that is gone is content with no tests.
#   scripts/must-pass.sh NAME command...
set -uo pipefail
name=$1
shift
ran=$(mktemp)
trap 'rm -f "$ran"' EXIT

"$@" 2>&1 | tee "$ran"
code=${PIPESTATUS[0]}
if [ "$code" -eq 0 ] && ! grep -q -- "^--- PASS: $name " "$ran"; then
	echo "$name did not run" >&2
	exit 1
fi
exit "$code"
