#!/usr/bin/env bash
# shellcheck disable=SC2317 # functions are called through `stage`
#
# Makes sure that Rust components can be built here, and writes how to `plugins/target/toolchain/env`,
# a file to source in a subshell before calling cargo for wasm32-wasip2. The first of these that works is taken:
#
#   1. the active rustc has the wasm32-wasip2 standard library installed;
#   2. a toolchain that an earlier run made from packages is there (see 4);
#   3. rustup can add the target;
#   4. one is made from packages: Debian's newest Rust and its sources, and the WASI libc that comes with
#      PyPI's ziglang. The linker is the active toolchain's own.
#
# Says what it does, one line a stage, and nothing when there is nothing to do.
# GUEST_TOOLCHAIN=installed keeps to 1 (nothing is installed or made); GUEST_TOOLCHAIN=packages keeps to 2 and 4.
set -euo pipefail

readonly TARGET=wasm32-wasip2
readonly RUSTUP_LIMIT=90 # seconds; without a network rustup may hang
readonly RECIPE=1        # raise it when what is made below changes
readonly ZIG=0.17.0
readonly ZIG_HASHES=(
    sha256:97079827064a7492cce5541ceb438ae8003ce1e54e399676da2d62fb7a5dc08b # x86_64
    sha256:d2804f94f54f7fcf8169f4b212a619ad688a4e2e6592e976f0cf2e58e2cd8af3 # aarch64
)
readonly PACKAGES=(rustc-web cargo-web rust-web-src)

# What an outer cargo, rustup proxy or make left in the environment is not for the guests. RUSTUP_TOOLCHAIN
# is dropped only inside a cargo, whose proxy sets it; one that the user set holds. Plain sh: it opens the env file.
# shellcheck disable=SC2016 # expanded when evaluated
readonly CLEAN='
if [ -n "${CARGO-}${RUST_RECURSION_COUNT-}" ]; then unset RUSTUP_TOOLCHAIN RUST_RECURSION_COUNT LD_LIBRARY_PATH; fi
unset MAKEFLAGS MFLAGS MAKELEVEL RUSTC RUSTDOC RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER RUSTFLAGS RUSTDOCFLAGS OUT_DIR
for v in $(env | sed -n "s/^\(CARGO[A-Z0-9_]*\)=.*/\1/p"); do
    case $v in
        CARGO_HOME | CARGO_BUILD_JOBS | CARGO_HTTP_* | CARGO_NET_* | CARGO_REGISTR* | CARGO_SOURCE_* | CARGO_TERM_* | CARGO_INCREMENTAL) ;;
        *) unset "$v" ;;
    esac
done
unset v'

cd "$(dirname "${BASH_SOURCE[0]}")"
plugins=$PWD
readonly dir=$plugins/target/toolchain
readonly made=$dir/packages
eval "$CLEAN"

fail() {
    printf 'toolchain: %s\n' "$1" >&2
    exit 1
}

# The last resort: what is missing (the arguments, a line each), and what to do about it.
give_up() {
    {
        printf 'toolchain: cannot build for %s:\n' "$TARGET"
        printf '  - %s\n' "$@"
        printf 'To fix it, run:  rustup target add %s\n' "$TARGET"
    } >&2
    exit 1
}

# stage TEXT COMMAND...: runs the command, and says what it is and how long it took; leaves its output in $log
# and its status in $status. It must not be called in a condition, where the shell would not stop at an error.
# The command does not inherit the lock (9): a child that outlives a killed run must not hold up the next one.
stage() {
    local text=$1 start=$SECONDS
    shift
    printf 'toolchain: %s ... ' "$text"
    set +e
    (
        set -e
        "$@"
    ) >"$log" 2>&1 9>&- </dev/null
    status=$?
    set -e
    if [ "$status" -eq 0 ]; then
        printf '%s s\n' "$((SECONDS - start))"
    else
        printf 'failed after %s s\n' "$((SECONDS - start))"
    fi
}

# must TEXT COMMAND...: a stage without which nothing can be made.
must() {
    stage "$@"
    [ "$status" -ne 0 ] || return 0
    tail -n 40 "$log" | sed 's/^/  /' >&2
    give_up ${missing[@]+"${missing[@]}"} "this failed, as shown above: $1"
}

limited() {
    if command -v timeout >/dev/null; then timeout --foreground --kill-after=5 "$RUSTUP_LIMIT" "$@"; else "$@"; fi
}

# Whether the active rustc (rustup's or any other) has the target's standard library.
installed() {
    local lib
    lib=$(rustc --print target-libdir --target "$TARGET" 2>/dev/null) && compgen -G "$lib/libstd-*.rlib" >/dev/null
}

# finish [LINES]: writes the env file, at once or not at all.
finish() {
    mkdir -p "$dir"
    local new=$dir/.env.$$
    printf '# Written by plugins/toolchain.sh; to be sourced in a subshell.%s\n%s\n' "$CLEAN" "${1-}" >"$new"
    mv -f "$new" "$dir/env"
    exit 0
}

finish_made() {
    finish "$(
        printf 'export RUSTC=%q RUSTDOC=%q\n' "$made/bin/rustc" "$made/bin/rustdoc"
        printf 'export CARGO_TARGET_WASM32_WASIP2_LINKER=%q\n' "$made/sysroot/lib/rustlib/$host/bin/wasm-component-ld"
        # shellcheck disable=SC2016 # PATH is expanded by who sources the file
        printf 'PATH=%q:$PATH:%q; export PATH\n' "$made/bin" "$made/sysroot/lib/rustlib/$host/bin/gcc-ld"
    )"
}

# What a made toolchain depends on; empty unless all packages are installed.
stamp() {
    local versions
    # shellcheck disable=SC2016 # dpkg-query's own syntax
    versions=$(dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\n' "${PACKAGES[@]}" 2>/dev/null) || return 0
    if grep -qv '^installed ' <<<"$versions"; then return 0; fi
    printf 'recipe %s\nziglang %s\nlinker %s\n%s\n' "$RECIPE" "$ZIG" "$linker" "$versions"
}

ready() {
    local want
    want=$(stamp)
    [ -n "$want" ] && [ -x "$made/bin/rustc" ] && [ "$want" = "$(cat "$made/stamp" 2>/dev/null)" ]
}

root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

apt_install() {
    root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -q \
        --no-install-recommends --no-remove "$@"
}

has_candidate() {
    LC_ALL=C apt-cache policy "$1" 2>/dev/null | grep -q '^  Candidate: [^(]'
}

# install_packages NAME...; the lists are brought up to date only if they lack a package or name one that is gone.
install_packages() {
    local name updated=
    for name in "$@"; do
        has_candidate "$name" && continue
        root apt-get -q update
        updated=1
        break
    done
    apt_install "$@" && return
    [ -z "$updated" ] || return 1
    root apt-get -q update
    apt_install "$@"
}

# The WASI libc and start files that zig makes at its first link, into $1.
make_libc() {
    local zig=$work/python/ziglang/zig hash requirement="ziglang==$ZIG" name
    for hash in "${ZIG_HASHES[@]}"; do requirement+=" --hash=$hash"; done
    printf '%s\n' "$requirement" >"$work/requirements.txt"
    TMPDIR=$work python3 -m pip install --quiet --no-deps --require-hashes --only-binary :all: \
        --target "$work/python" -r "$work/requirements.txt"
    export ZIG_GLOBAL_CACHE_DIR=$work/zig ZIG_LOCAL_CACHE_DIR=$work/zig
    cd "$work"
    echo 'int main(void) { return 0; }' >command.c
    echo '__attribute__((export_name("x"))) int x(void) { return 0; }' >reactor.c
    "$zig" cc -target wasm32-wasi -Os -o command.wasm command.c
    "$zig" cc -target wasm32-wasi -Os -mexec-model=reactor -o reactor.wasm reactor.c
    for name in crt1-command.o crt1-reactor.o libc.a libzigc.a; do
        find zig/o -name "$name" -exec cp {} . \;
        [ -f "$name" ] || { echo "ziglang $ZIG made no $name"; return 1; }
    done
    printf 'create all.a\naddlib libc.a\naddlib libzigc.a\nsave\nend\n' | "$zig" ar -M
    cp crt1-command.o crt1-reactor.o "$1/"
    cp all.a "$1/libc.a"
}

# The standard library for the target, from Debian's sources with Debian's compiler, into the sysroot of $1.
make_std() {
    local rustlib=$1/sysroot/lib/rustlib version flags flag
    version=$(/usr/bin/rustc --version | cut -d' ' -f2)
    [ -d "/usr/src/rustc-$version/library" ] || { echo "no sources of Rust $version in /usr/src"; return 1; }
    mkdir -p "$work/empty/src"
    : >"$work/empty/src/lib.rs"
    cat >"$work/empty/Cargo.toml" <<'TOML'
[package]
name = "empty"
version = "0.0.0"
edition = "2021"
[profile.release]
panic = "abort"
opt-level = "s"
[workspace]
TOML
    cd "$work/empty"
    flags='-Cembed-bitcode=yes'
    for flag in -Zforce-unstable-if-unmarked \
        "--remap-path-prefix=/usr/lib/rustlib/src/rust=/rustc/$version" \
        "--remap-path-prefix=$rustlib/src/rust=/rustc/$version" \
        "--remap-path-prefix=/usr/src/rustc-$version=/rustc/$version" \
        "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}/registry/src=/cargo"; do
        flags+=$'\x1f'$flag
    done
    RUSTC=$1/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_ENCODED_RUSTFLAGS=$flags CARGO_TARGET_DIR=$work/build \
        "$1/bin/cargo" build --quiet --release --target "$TARGET" \
        -Zbuild-std=std,panic_abort -Zbuild-std-features=compiler-builtins-mem
    find "$work/build/$TARGET/release/deps" -name '*.rlib' ! -name 'libempty-*' -exec cp {} "$rustlib/$TARGET/lib/" \;
}

# A sysroot beside Debian's (its own std, sources and the active toolchain's linker by link), and a rustc that uses it.
# It may be moved: nothing in it names its own place.
lay_out() {
    local rustlib=$1/sysroot/lib/rustlib tool
    mkdir -p "$1/bin" "$rustlib/$host/bin" "$rustlib/$TARGET/lib/self-contained"
    ln -s "/usr/lib/rustlib/$host/lib" "$rustlib/$host/lib"
    ln -s /usr/lib/rustlib/src "$rustlib/src"
    for tool in wasm-component-ld rust-lld gcc-ld; do
        ln -s "${linker%/*}/$tool" "$rustlib/$host/bin/$tool"
    done
    for tool in rustc rustdoc; do
        # shellcheck disable=SC2016 # expanded by the script that it writes
        printf '#!/bin/sh\nbin=${0%%/*}\nexec /usr/bin/%s --sysroot "${bin%%/*}/sysroot" "$@"\n' "$tool" >"$1/bin/$tool"
        chmod +x "$1/bin/$tool"
    done
    ln -s /usr/bin/cargo "$1/bin/cargo"
}

mode=${GUEST_TOOLCHAIN-auto}
case $mode in
    auto | installed | packages) ;;
    *) fail "GUEST_TOOLCHAIN is '$mode': it may be auto, installed or packages" ;;
esac
if ! command -v rustc >/dev/null || ! command -v cargo >/dev/null; then
    fail 'rustc and cargo are missing: install Rust with rustup'
fi

# 1. Installed.
if [ "$mode" != packages ] && installed; then finish; fi
[ "$mode" != installed ] || give_up "the active rustc has no $TARGET target"

# 2. Made earlier.
host=$(rustc -vV | sed -n 's/^host: //p')
linker=$(rustc --print sysroot)/lib/rustlib/$host/bin/wasm-component-ld
if [ -x "$linker" ] && ready; then finish_made; fi

log=$(mktemp)
new=
cleanup() {
    rm -rf "$log" ${new:+"$new"}
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
missing=()

# 3. rustup.
if [ "$mode" = packages ]; then
    :
elif command -v rustup >/dev/null; then
    stage "rustup target add $TARGET" limited rustup target add "$TARGET"
    if installed; then finish; fi
    reason=$(sed -n 's/^error: //p' "$log" | head -n 1)
    missing+=("rustup could not add the $TARGET target${reason:+: $reason}")
else
    missing+=("the active rustc has no $TARGET target, and there is no rustup to add it")
fi

# 4. Packages.
lacks=()
[ -x "$linker" ] || lacks+=("the active Rust toolchain has no wasm-component-ld")
for tool in apt-get dpkg-query flock python3; do
    command -v "$tool" >/dev/null || lacks+=("no $tool, which making a toolchain from Debian's packages and PyPI takes")
done
if [ "${#lacks[@]}" -gt 0 ]; then give_up ${missing[@]+"${missing[@]}"} "${lacks[@]}"; fi

mkdir -p "$dir"
exec 9>"$dir/.lock"
if ! flock -n 9; then
    echo 'toolchain: another run is making it; waiting'
    flock 9
    if ready; then finish_made; fi
fi
rm -rf "$dir"/.new.* # of a run that was killed

needed=()
if [ -z "$(stamp)" ]; then needed+=("${PACKAGES[@]}"); fi
if ! python3 -m pip --version >/dev/null 2>&1; then needed+=(python3-pip); fi
if [ "${#needed[@]}" -gt 0 ]; then
    if [ "$(id -u)" -ne 0 ] && ! sudo -n true 2>/dev/null; then
        # A password is asked for here, where it can be seen; without a terminal there is nobody to ask.
        if ! { [ -t 0 ] && command -v sudo >/dev/null && sudo -v; }; then
            give_up ${missing[@]+"${missing[@]}"} "neither root nor sudo is to be had to install Debian's ${needed[*]}"
        fi
    fi
    must "apt-get install ${needed[*]}" install_packages "${needed[@]}"
fi
new=$(mktemp -d "$dir/.new.XXXXXX")
work=$new/work
mkdir "$work"
lay_out "$new"
must "WASI libc from ziglang $ZIG" make_libc "$new/sysroot/lib/rustlib/$TARGET/lib/self-contained"
must "standard library of Rust $(/usr/bin/rustc --version | cut -d' ' -f2) for $TARGET" make_std "$new"
rm -rf "$work"
stamp >"$new/stamp"
chmod 755 "$new"

# What was built against an older standard library does not link with this one.
rm -rf "$made" "$plugins/target/$TARGET"
mv "$new" "$made"
rm -rf "$dir"/.new.*
finish_made
