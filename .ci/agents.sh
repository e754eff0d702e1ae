#!/usr/bin/env bash
# Tests with the real agents: installs the versions that host/tests/agents/package-lock.json pins into .agents/ (from the
# npm registry, no package's scripts are run), where they are not there yet, and runs the tests that need them.
# `.ci/agents.sh install` only installs them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null

pinned=host/tests/agents
installed=.agents

wanted=$(cat "$pinned/package.json" "$pinned/package-lock.json" | sha256sum)
if [ "$(cat "$installed/installed" 2>/dev/null)" != "$wanted" ]; then
    command -v npm >/dev/null || {
        echo 'agents: npm is missing: install it (Node 20 or newer brings it); nothing was installed or tested' >&2
        exit 1
    }
    rm -rf "$installed"
    mkdir "$installed"
    cp "$pinned/package.json" "$pinned/package-lock.json" "$installed"
    echo "agents: installing into $installed"
    if ! (cd "$installed" && npm ci --ignore-scripts --no-audit --no-fund --fetch-retries=2 --loglevel=error); then
        echo 'agents: npm could not install them: see above; does the registry answer? Nothing was tested' >&2
        exit 1
    fi
    echo "$wanted" >"$installed/installed"
fi

[ "${1-}" != install ] || exit 0

cargo=${CARGO:-cargo}
# An agent of the protocol's own library.
"$cargo" build --locked --manifest-path host/tests/acp-agent/Cargo.toml --target-dir target/acp-agent
HOST_TEST_AGENTS=$PWD/$installed HOST_TEST_ACP_AGENT=$PWD/target/acp-agent/debug/acp-agent \
    "$cargo" test --locked -p host --test agents --test lanes_real --test acp_library -- --ignored
