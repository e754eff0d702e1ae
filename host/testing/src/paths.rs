//! Where the repository and what was built of it are.

use std::{
    env,
    path::{Path, PathBuf},
    sync::LazyLock,
};

static HOST_BINARY: LazyLock<String> = LazyLock::new(|| {
    env::var("CARGO_BIN_EXE_host").expect("cargo names the `host` binary in CARGO_BIN_EXE_host (Cargo 1.94 or newer)")
});

/// The `host` binary that cargo built for this test run.
pub fn host_binary() -> &'static str {
    &HOST_BINARY
}

/// A directory below cargo's target directory that tests can share files in (`CARGO_TARGET_TMPDIR`).
pub fn target_tmp() -> PathBuf {
    // Cargo names it to the compiler only; the binary is in `target/PROFILE/host`.
    Path::new(host_binary()).ancestors().nth(2).expect("the binary is in a target directory").join("tmp")
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate is in host/testing").to_owned()
}

/// A file or directory of `host/cli/tests/fixtures`.
pub fn fixture(path: &str) -> PathBuf {
    repository().join("host/cli/tests/fixtures").join(path)
}

/// A test guest, built by `make plugins`.
pub fn probe(name: &str) -> PathBuf {
    built(repository().join("plugins/target/probes").join(format!("{name}.wasm")))
}

/// A plugin of the repository, built by `make plugins`.
pub fn plugin(name: &str) -> PathBuf {
    built(repository().join("plugins").join(format!("{name}.wasm")))
}

fn built(path: PathBuf) -> PathBuf {
    assert!(path.is_file(), "{} does not exist: run `make plugins` first", path.display());
    path
}
