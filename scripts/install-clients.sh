#!/usr/bin/env bash
# Installs the clients that tests/clients tries the broker with, where they are
# missing: kcat, a Python environment, the packages of kafkajs, the Java client
# and its tools, and builds the Go programs. What it makes is in .cache/clients,
# node_modules and target. Needs Go, Python 3, Node.js, a JDK and Maven; the
# versions of the clients are in the files of their directories.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=$PWD/.cache/clients
mkdir -p "$cache/bin"

say() { echo "clients: $*"; }

# quiet runs a command and shows what it printed only if it failed.
quiet() {
	local log
	log=$(mktemp)
	if ! "$@" >"$log" 2>&1; then
		cat "$log" >&2
		rm -f "$log"
		echo "clients: failed: $*" >&2
		return 1
	fi
	rm -f "$log"
}

# fresh NAME FILE... is true if the files are those that installed NAME.
sum() { cat "$@" | sha256sum | cut -d ' ' -f 1; }
fresh() {
	local stamp=$cache/$1.stamp
	shift
	[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(sum "$@")" ]
}
done_with() {
	local stamp=$cache/$1.stamp
	shift
	sum "$@" >"$stamp"
}

apt_updated=
need() { # COMMAND PACKAGE
	command -v "$1" >/dev/null && return
	say "install $2"
	local as=()
	if [ "$(id -u)" -ne 0 ]; then as=(sudo); fi
	if [ -z "$apt_updated" ]; then
		quiet "${as[@]}" apt-get update
		apt_updated=yes
	fi
	quiet "${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$2"
}

need kcat kcat
need python3 python3-venv
need node nodejs
need npm npm
need mvn maven
need javac default-jdk-headless

say 'franz-go'
quiet go build -o "$cache/bin/franz" ./tests/clients/franz

say 'sarama'
(cd tests/clients/sarama && quiet go build -o "$cache/bin/sarama" .)

if ! fresh python tests/clients/python/requirements.txt || [ ! -x "$cache/venv/bin/python" ]; then
	say 'confluent-kafka-python'
	quiet python3 -m venv --clear "$cache/venv"
	quiet "$cache/venv/bin/pip" install --disable-pip-version-check -r tests/clients/python/requirements.txt
	done_with python tests/clients/python/requirements.txt
fi

kafkajs=(tests/clients/kafkajs/package.json tests/clients/kafkajs/package-lock.json)
if ! fresh kafkajs "${kafkajs[@]}" || [ ! -d tests/clients/kafkajs/node_modules ]; then
	say 'kafkajs'
	(cd tests/clients/kafkajs && quiet npm ci --no-audit --no-fund)
	done_with kafkajs "${kafkajs[@]}"
fi

mapfile -t java < <(find tests/clients/java/src -name '*.java' | sort)
java+=(tests/clients/java/pom.xml)
if ! fresh java "${java[@]}" || [ ! -f tests/clients/java/target/clients-0.jar ]; then
	say 'the Java client'
	(cd tests/clients/java && quiet mvn -q -B package)
	done_with java "${java[@]}"
fi

say 'installed'
