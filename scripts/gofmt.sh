#!/usr/bin/env bash
# Fails, with the names, if a Go file of the repository is not formatted.
set -euo pipefail
cd "$(dirname "$0")/.."

bad=$(find . \( -name .git -o -name node_modules -o -name target -o -name testdata -o -path ./bin -o -path ./varve-data -o -name .cache \) -prune \
	-o -type f -name '*.go' -print0 | xargs -0 gofmt -l)
if [ -n "$bad" ]; then
	printf 'not formatted, run gofmt -w on:\n%s\n' "$bad" >&2
	exit 1
fi
