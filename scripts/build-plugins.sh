#!/usr/bin/env bash
# Builds the built-in plugins and the examples from their sources.
#
#   build-plugins.sh             write plugins/builtin/*.wasm
#   build-plugins.sh --check     fail if they are not what the sources give
#   build-plugins.sh --test      run the native tests of the SDK and the plugins
#   build-plugins.sh --examples  build and test examples/plugins/* with cargo,
#                                and run the modules on their vectors.json
#
# The bytes depend on the sources and the compiler only, so the compiler is one
# version for everybody: Debian 12's. It is installed if it is missing, which
# needs root; nothing else needs the network. VARVE_RUSTC, VARVE_CARGO and
# VARVE_WASM_LD name another one, for which --check is expected to fail.
set -euo pipefail
cd "$(dirname "$0")/.."

rustc=${VARVE_RUSTC:-/usr/bin/rustc}
cargo=${VARVE_CARGO:-/usr/bin/cargo}
linker=${VARVE_WASM_LD:-wasm-ld-14}
version=1.63.0
plugins=(filter redact)

# install_toolchain MODE: what is missing of the compiler, and of cargo where it
# is used.
install_toolchain() {
	local packages=(rustc libstd-rust-dev-wasm32 lld-14)
	if [ -n "${VARVE_RUSTC:-}" ]; then
		return
	fi
	if [ "$1" = --examples ]; then
		packages+=(cargo)
	fi
	if has_version && command -v "$linker" >/dev/null &&
		{ [ "$1" != --examples ] || [ -x "$cargo" ]; } &&
		[ -d /usr/lib/rustlib/wasm32-unknown-unknown ]; then
		return
	fi
	if ! command -v apt-get >/dev/null; then
		echo 'needs rustc 1.63 with wasm32-unknown-unknown and wasm-ld-14: set VARVE_RUSTC and VARVE_WASM_LD' >&2
		exit 1
	fi
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
	if ! has_version; then
		echo "$rustc is not version $version: this is not Debian 12, set VARVE_RUSTC and VARVE_WASM_LD" >&2
		exit 1
	fi
}

has_version() {
	[ -x "$rustc" ] && "$rustc" --version | grep -q "^rustc ${version//./\\.}"
}

# compile OUTDIR ARGS...: rustc with what all crates share. Paths are given
# relative to the root and mapped, so that no directory of this machine gets
# into a module.
compile() {
	local out=$1
	shift
	"$rustc" --edition 2021 --target wasm32-unknown-unknown \
		-C opt-level=3 -C panic=abort -C codegen-units=1 -C embed-bitcode=yes \
		-C target-feature=+bulk-memory \
		-C metadata=varve --remap-path-prefix "$PWD=varve" \
		--remap-path-prefix "$out=build" -D warnings "$@"
}

# build OUTDIR: every module into OUTDIR.
build() {
	local out=$1 name
	compile "$out" --crate-type rlib --crate-name varve_sdk \
		-o "$out/libvarve_sdk.rlib" sdk/rust/src/lib.rs
	for name in "${plugins[@]}"; do
		compile "$out" --crate-type cdylib --crate-name "$name" \
			-C lto=fat -C strip=symbols -C linker="$linker" \
			-C link-arg=-zstack-size=65536 \
			--extern "varve_sdk=$out/libvarve_sdk.rlib" \
			-o "$out/$name.wasm" "plugins/builtin/src/$name/lib.rs"
		rm -f "$out/lib$name.rlib"
	done
}

# run_tests OUTDIR: the native tests, with the same compiler.
run_tests() {
	local out=$1 name
	local flags=(--edition 2021 -C debuginfo=0 -D warnings)
	"$rustc" "${flags[@]}" --test --crate-name varve_sdk -o "$out/sdk" sdk/rust/src/lib.rs
	"$out/sdk" -q
	"$rustc" "${flags[@]}" --crate-type rlib --crate-name varve_sdk \
		-o "$out/libvarve_sdk.rlib" sdk/rust/src/lib.rs
	for test in sdk/rust/tests/*.rs; do
		name=$(basename "$test" .rs)
		CARGO_MANIFEST_DIR="$PWD/sdk/rust" "$rustc" "${flags[@]}" --test --crate-name "$name" \
			--extern "varve_sdk=$out/libvarve_sdk.rlib" -o "$out/test-$name" "$test"
		"$out/test-$name" -q
	done
	for name in "${plugins[@]}"; do
		"$rustc" "${flags[@]}" --test --crate-name "$name" \
			--extern "varve_sdk=$out/libvarve_sdk.rlib" \
			-o "$out/test-$name" "plugins/builtin/src/$name/lib.rs"
		"$out/test-$name" -q
	done
}

# run_examples OUTDIR: every example as its author would build it, in a copy, so
# that cargo leaves nothing in the checkout; then each module on its vectors, in
# the broker's own runtime.
run_examples() {
	local out=$1 dir name modules
	export RUSTC=$rustc CARGO_HOME=$out/cargo CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$linker
	mkdir "$out/src" "$out/modules"
	tar --exclude=target --exclude=Cargo.lock -cf - sdk/rust examples | tar -xf - -C "$out/src"
	for dir in examples/plugins/*/; do
		name=$(basename "$dir")
		(
			cd "$out/src/$dir"
			"$cargo" test --offline --quiet
			"$cargo" build --offline --quiet --release --target wasm32-unknown-unknown
		)
		modules=("$out/src/$dir"target/wasm32-unknown-unknown/release/*.wasm)
		if [ ${#modules[@]} -ne 1 ] || [ ! -f "${modules[0]}" ]; then
			echo "$dir gives ${modules[*]}, want one module" >&2
			exit 1
		fi
		cp "${modules[0]}" "$out/modules/$name.wasm"
		echo "$name: $(wc -c <"${modules[0]}") bytes"
	done
	VARVE_EXAMPLES=$out/modules go test -count=1 -tags examples -run '^TestExamples' ./plugins/registry
}

digest() {
	sha256sum "$1" | cut -d' ' -f1
}

install_toolchain "${1:-}"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

case "${1:-}" in
'')
	build "$out"
	for name in "${plugins[@]}"; do
		install -m 644 "$out/$name.wasm" "plugins/builtin/$name.wasm"
		echo "$(digest "$out/$name.wasm") plugins/builtin/$name.wasm"
	done
	;;
--check)
	build "$out"
	failed=0
	for name in "${plugins[@]}"; do
		want=$(digest "plugins/builtin/$name.wasm")
		got=$(digest "$out/$name.wasm")
		if [ "$want" != "$got" ]; then
			echo "plugins/builtin/$name.wasm is $want, its sources give $got: run scripts/build-plugins.sh" >&2
			failed=1
		fi
	done
	exit $failed
	;;
--test)
	run_tests "$out"
	;;
--examples)
	run_examples "$out"
	;;
*)
	sed -n '2,8p' "$0" | cut -c3- >&2
	exit 2
	;;
esac
