#!/usr/bin/env bash
# Installs, starts and stops a MinIO server on this machine's loopback, for tests
# of the S3 driver. MinIO is not linked into anything of Varve's (AGPL).
#
#   scripts/minio.sh install      build .cache/bin/minio, if it is not there (minutes)
#   scripts/minio.sh start        start it with an empty directory, wait until it is ready
#   scripts/minio.sh stop         stop it and remove its directory
#   scripts/minio.sh run CMD...   install, start, run CMD with S3_TEST_* set, stop
#
# MINIO_PORT is the port, 19000 if unset.
set -euo pipefail
cd "$(dirname "$0")/.."

version=v0.0.0-20260212201848-7aac2a2c5b7c
bin=$PWD/.cache/bin/minio
stamp=$PWD/.cache/bin/minio.version
state=$PWD/.cache/minio
port=${MINIO_PORT:-19000}
user=varve-test
password=varve-test-secret

install() {
	if [ -x "$bin" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$version" ]; then
		return
	fi
	echo "minio: build $version" >&2
	mkdir -p "$(dirname "$bin")"
	GOBIN=$(dirname "$bin") GOFLAGS= go install -ldflags '-s -w' "github.com/minio/minio@$version"
	echo "$version" >"$stamp"
}

start() {
	stop
	mkdir -p "$state/data"
	MINIO_ROOT_USER=$user MINIO_ROOT_PASSWORD=$password MINIO_BROWSER=off MINIO_UPDATE=off \
		"$bin" server --address "127.0.0.1:$port" --quiet "$state/data" >"$state/log" 2>&1 &
	local pid=$!
	echo "$pid" >"$state/pid"
	for _ in $(seq 300); do
		if ! kill -0 "$pid" 2>/dev/null; then
			break
		fi
		if curl -fsS -o /dev/null "http://127.0.0.1:$port/minio/health/ready" 2>/dev/null; then
			return
		fi
		sleep 0.1
	done
	cat "$state/log" >&2
	echo 'minio: did not start' >&2
	stop
	return 1
}

stop() {
	if [ -f "$state/pid" ]; then
		local pid
		pid=$(cat "$state/pid")
		# The process of that id must still be the server.
		if ps -o args= -p "$pid" 2>/dev/null | grep -qF -- "$state/data"; then
			kill "$pid"
			for _ in $(seq 100); do
				kill -0 "$pid" 2>/dev/null || break
				sleep 0.1
			done
		fi
	fi
	rm -rf "$state"
}

case ${1:-} in
install | start | stop)
	"$1"
	;;
run)
	shift
	install
	trap stop EXIT
	start
	S3_TEST_ENDPOINT="http://127.0.0.1:$port" S3_TEST_ACCESS_KEY=$user S3_TEST_SECRET_KEY=$password "$@"
	;;
*)
	sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
	exit 2
	;;
esac
