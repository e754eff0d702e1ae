#!/usr/bin/env bash
# Builds every crate of the plugins workspace for wasm32-wasip2 and puts the components where they belong:
#
#   plugins/NAME/        a crate that makes a cdylib  -> plugins/NAME.wasm
#   plugins/probes/...   test guests, cdylibs or bins -> plugins/target/probes/NAME.wasm
#
# NAME is the crate's (a probe bin's own), with hyphens. A component that did not change is not touched; one whose
# crate is gone is removed, if it was made here. `toolchain.sh` must have run.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
plugins=$PWD

fail() {
    printf 'plugins: %s\n' "$1" >&2
    exit 1
}

[ -f Cargo.toml ] || fail 'there is no plugins/Cargo.toml'
[ -f target/toolchain/env ] || fail 'no toolchain: run plugins/toolchain.sh first'
command -v python3 >/dev/null || fail 'python3 is missing: install it'
if command -v flock >/dev/null; then
    exec 9>target/.build.lock
    flock 9
fi

messages=$(mktemp "$plugins/target/.messages.XXXXXX")
trap 'rm -f "$messages"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

(
    # shellcheck source=/dev/null
    . target/toolchain/env
    exec cargo build --workspace --release --locked --target wasm32-wasip2 --target-dir "$plugins/target" \
        --message-format json-render-diagnostics
) >"$messages" 9>&-

python3 - "$plugins" "$messages" <<'PYTHON'
import filecmp
import json
import os
import shutil
import sys
from pathlib import Path

plugins = Path(sys.argv[1])
target = plugins / "target"
probes = target / "probes"
made_before = target / "components.txt"


def destination(message):
    """Where the component of an artifact belongs, or None."""
    try:
        folder = Path(message["manifest_path"]).parent.relative_to(plugins)
    except ValueError:
        return None  # a dependency from elsewhere
    kinds = set(message["target"]["kind"])
    name = message["target"]["name"].replace("_", "-")
    if folder.parts and folder.parts[0] == "probes":
        return probes / f"{name}.wasm" if kinds & {"cdylib", "bin"} else None
    if len(folder.parts) == 1 and "cdylib" in kinds:
        return plugins / f"{name}.wasm"
    return None


components = {}
with open(sys.argv[2], encoding="utf-8") as messages:
    for line in messages:
        if not line.startswith("{"):
            continue
        message = json.loads(line)
        if message.get("reason") != "compiler-artifact":
            continue
        to = destination(message)
        files = [Path(file) for file in message["filenames"] if file.endswith(".wasm")]
        if to is None or not files:
            continue
        if to in components:
            sys.exit(f"plugins: two crates make a component named {to.stem}; rename one")
        components[to] = files[0]

for to, made in components.items():
    if to.exists() and filecmp.cmp(made, to, shallow=False):
        continue
    to.parent.mkdir(exist_ok=True)
    new = target / f".{to.name}.new"
    shutil.copyfile(made, new)
    os.replace(new, to)
    print(f"plugins: made {to.relative_to(plugins.parent)} ({to.stat().st_size:,} bytes)")

# The record names files relative to plugins/; whatever it does not name was put there by someone else.
names = {to.relative_to(plugins).as_posix() for to in components}
before = set(made_before.read_text(encoding="utf-8").split()) if made_before.exists() else set()
for name in sorted(before - names):
    (plugins / name).unlink(missing_ok=True)
    print(f"plugins: removed plugins/{name}, whose crate is gone")
made_before.write_text("".join(f"{name}\n" for name in sorted(names)), encoding="utf-8")
if not names:
    sys.exit("plugins: no crate makes a component")
PYTHON
