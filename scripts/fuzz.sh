#!/usr/bin/env bash
# Runs every fuzz target of the repository for the time given as the first
# argument (10s by default), two at a time with one worker each. A second
# argument is a pattern that the names of targets, with their directories, must
# match. Goes on after a failure, so that one run shows all of them, and fails at
# the end. A run begins with the committed corpus: what earlier runs found on this
# machine would take all of a short one to be read again, and make each run another
# one. VARVE_FUZZ_CACHE names a directory to keep that in all the same, for long
# runs. Prints one line per target:
#
#   directory target: inputs tried, new interesting ones, result
#
# and, for one that fails, what go test said. The input that failed is kept by go
# test below testdata/fuzz of the package.
set -euo pipefail
cd "$(dirname "$0")/.."

time=${1:-10s}
pattern=${2:-.}
jobs=2

targets=$(grep -rnoE --include='*_test.go' --exclude-dir=.git --exclude-dir=node_modules --exclude-dir=testdata \
	'^func Fuzz[A-Za-z0-9_]*' . | sed -E 's|^(.*)/[^/]*:[0-9]+:func (Fuzz.*)$|\1 \2|' | sort -u | grep -E -- "$pattern") || true
if [ -z "$targets" ]; then
	echo 'no fuzz target found' >&2
	exit 1
fi

out=$(mktemp -d)
mkdir "$out/bin"
trap 'rm -rf "$out"' EXIT
case ${VARVE_FUZZ_CACHE:-} in
'' | /*) ;;
*) VARVE_FUZZ_CACHE=$PWD/$VARVE_FUZZ_CACHE ;;
esac

# build makes the test binary of a directory, once for all its targets, and prints
# its name.
build() {
	local bin=$out/bin/${1//\//_}.test
	[ -x "$bin" ] || (cd "$1" && go test -c -fuzz . -o "$bin" .) >&2 || return 1
	printf '%s\n' "$bin"
}

# attempt runs one target once. Minimising an input has its own bound: left to
# its default of a minute it takes all of a short run.
attempt() {
	local cache=${VARVE_FUZZ_CACHE:-$out/cache}/$1
	mkdir -p "$cache"
	(cd "$1" && "$4" -test.run '^$' -test.fuzz "^$2\$" -test.fuzztime "$time" -test.fuzzminimizetime 10x -test.parallel 1 \
		-test.fuzzcachedir "$cache" -test.timeout 0 -test.paniconexit0 </dev/null) >"$3" 2>&1
}

# target runs one target and reports it. On a busy machine go test sometimes
# reports the end of its own fuzztime as a failure, without an input. That, and
# nothing else, is tried again.
target() {
	local dir=$1 name=$2 log=$3 bin=$4 result=failed
	for _ in 1 2 3 4; do
		if attempt "$dir" "$name" "$log" "$bin"; then
			result=ok
			break
		fi
		if ! grep -q 'context deadline exceeded' "$log" || grep -q 'Failing input' "$log"; then
			break
		fi
	done
	local execs new
	execs=$(sed -nE 's/.*execs: ([0-9]+).*/\1/p' "$log" | tail -n 1)
	new=$(sed -nE 's/.*new interesting: ([0-9]+).*/\1/p' "$log" | tail -n 1)
	local line="$dir $name: ${execs:-0} inputs, ${new:-0} new, $result"
	if [ "$result" = failed ]; then
		line=$line$'\n'$(sed 's/^/    /' "$log")
	fi
	printf '%s\n' "$line" # in one write
	echo "${execs:-0} ${new:-0} $result $dir $name" >"$log.result"
}

# One worker and what feeds it share a core.
export GOMAXPROCS=1
started=$SECONDS
n=0
while read -r dir name; do
	while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do
		wait -n || true
	done
	n=$((n + 1))
	if bin=$(build "$dir"); then
		target "$dir" "$name" "$out/$n" "$bin" &
	else
		echo "0 0 failed $dir $name" >"$out/$n.result"
	fi
done <<<"$targets"
wait

awk -v targets="$n" -v seconds="$((SECONDS - started))" '
	{ execs += $1; new += $2 }
	$3 != "ok" { failed[++f] = $4 " " $5 }
	END {
		printf "%d targets, %d inputs, %d new, %d failed, %d s\n", targets, execs, new, f, seconds
		for (i = 1; i <= f; i++) print "fuzz target failed: " failed[i]
		exit f > 0
	}' "$out"/*.result
