//! Finds programs of the machine that the host starts itself, in absolute directories only.

use std::{
    env,
    ffi::{OsStr, OsString},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// The search path if the environment has none.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program, and the search path to start it with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Where it is.
    pub program: PathBuf,
    /// The absolute folders of `PATH`.
    pub path: OsString,
}

/// Finds `name` in the absolute folders of the user's `PATH`.
///
/// An entry such as `.`, or an empty one, means the directory in which the program is started. That is often a suite's
/// directory or a copy of one, and a file in it would run as the user.
#[must_use]
pub fn installed(name: &str) -> Option<Installed> {
    installed_in(name, &env::var_os("PATH").unwrap_or_default())
}

fn installed_in(name: &str, path: &OsStr) -> Option<Installed> {
    let path = if path.is_empty() { OsStr::new(SYSTEM_PATH) } else { path };
    let folders: Vec<PathBuf> = env::split_paths(path).filter(|folder| folder.is_absolute()).collect();
    let program = folders.iter().map(|folder| folder.join(name)).find(|program| is_program(program))?;
    let path = env::join_paths(&folders).ok()?;
    Some(Installed { program, path })
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn programs_are_found_in_absolute_folders_only() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("tool");
        let find = |path: String| installed_in("tool", OsStr::new(&path));
        let absolute = folder.path().display().to_string();
        assert_eq!(find(absolute.clone()), None, "there is no such file");
        fs::write(&program, "").unwrap();
        assert_eq!(find(absolute.clone()), None, "it is not executable");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let found = find(format!(".::relative:{absolute}:./x")).unwrap();
        assert_eq!(found, Installed { program, path: absolute.into() });
        // The tests run in the folder of the crate, which holds this file.
        assert!(Path::new("Cargo.toml").is_file());
        assert_eq!(installed_in("Cargo.toml", OsStr::new(".::")), None);
        assert!(installed_in("sh", OsStr::new("")).is_some(), "the system's folders");
    }
}
