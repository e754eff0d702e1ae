#!/usr/bin/env bash
# Installs the real agents where they are not there yet, then runs the tests that need them; with the argument `bench`
# it measures instead what the host adds to their start, and with `install` it only installs.
#
# They come from the npm registry, in the versions that host/cli/tests/agents/package-lock.json pins, and no script of a
# package is run. AGENTS_CACHE names the folder that keeps them, .agents when unset; what is whole there is used without
# asking npm. .agents/node_modules leads to them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null

pinned=host/cli/tests/agents
cache=${AGENTS_CACHE:-.agents}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
version=$(cat "$pinned/package.json" "$pinned/package-lock.json" | sha256sum | cut -c 1-16)
installed=$cache/agents-$version

# Every file with its size. What the agents themselves add is no damage.
files() {
    find "$1/node_modules" -type f -printf '%P %s\n' -o -type l -printf '%P -> %l\n' | LC_ALL=C sort
}

is_whole() {
    [ -s "$1/files" ] && [ -d "$1/node_modules" ] || return 1
    local missing
    missing=$(files "$1" | LC_ALL=C comm -23 "$1/files" -)
    [ -z "$missing" ] || {
        printf 'agents: %s is damaged and will be made anew: it lacks %s\n' "$1" "$(head -n 1 <<<"$missing")"
        return 1
    }
}

install() {
    local part=$installed.part
    command -v npm >/dev/null || {
        echo "agents: npm is missing: install it with your system's packages; nothing was installed or tested" >&2
        exit 1
    }
    # Nothing of an older version, of a damaged one, or of an install that was broken off.
    rm -rf "$cache"/agents-*
    mkdir "$part"
    cp "$pinned/package.json" "$pinned/package-lock.json" "$part"
    echo "agents: installing into $installed"
    # Packages are optional that bring a program for each system, and one of them a second Claude Code: those that are
    # needed are asked for by name.
    if ! (cd "$part" && npm ci --omit=optional --ignore-scripts --engine-strict=false --no-audit --no-fund --loglevel=error \
        --fetch-retries=2 --fetch-retry-mintimeout=2000 --fetch-retry-maxtimeout=10000 --fetch-timeout=60000); then
        rm -rf "$part"
        echo 'agents: npm could not install them: see above; does the registry answer? Nothing was tested' >&2
        exit 1
    fi
    files "$part" >"$part/files"
    mv "$part" "$installed"
}

is_whole "$installed" || install
mkdir -p .agents
ln -sfn "$installed/node_modules" .agents/node_modules
cargo=${CARGO:-cargo}
export HOST_TEST_AGENTS=$installed HOST_TEST_ACP_AGENT=$PWD/target/acp-agent/debug/acp-agent
case ${1:-test} in
    install) ;;
    bench)
        "$cargo" build --release --locked -p scenario-host --bin host --example start_up
        target/release/examples/start_up "${PAIRS:-30}" target/release/host
        ;;
    test)
        # An agent of the protocol's own library.
        "$cargo" build --locked --manifest-path host/cli/tests/acp-agent/Cargo.toml --target-dir target/acp-agent
        # Each of them runs many agents: more at once only make each other late.
        "$cargo" test --locked -p scenario-host --test agents -- --ignored --test-threads=2
        ;;
    *)
        echo "usage: agents.sh [install | bench]" >&2
        exit 2
        ;;
esac
