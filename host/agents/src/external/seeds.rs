//! Installs the lane's seeds and credential files in an agent's config dir.

use std::{
    ffi::OsStr,
    fs,
    io::{self, Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rustix::fs::FileType;

use crate::safe_dir::SafeDir;
use host_model::{AgentSettings, Credential};

/// Where credential files are in the agent's HOME. The config dir only has links to them, because components can read
/// it and its transcripts are saved; neither follows links.
const CREDENTIALS_DIR: &str = ".host-credentials";

/// The size limit of all seeds of a lane, and the error beyond it.
const MAX_SEED_BYTES: u64 = 1 << 30;
const SEEDS_TOO_LARGE: &str = "the seeds exceed 1 GiB in total; make them smaller";

/// Copies seeds and credential files. Existing files in the config dir stay: the scenario's seeds, and files of an
/// earlier session. The component or that session's agent may have put links there.
pub(super) fn install(settings: &AgentSettings, config_dir: &Path, home: &Path) -> Result<(), InstallError> {
    let opened = |path: &Path| {
        SafeDir::open(path).map_err(|error| InstallError::Lane(format!("cannot open {}: {error}", path.display())))
    };
    let config = opened(config_dir)?;
    // Checked before the lane's seeds are copied: a blocking entry is from the scenario.
    for credential in &settings.credentials {
        let Credential::File { to, .. } = credential else { continue };
        if let Some(what) = blocking_entry(&config, Path::new(to)) {
            return Err(InstallError::Blocked(format!(
                "cannot install the agent's login {to}: {what} already exists in the config dir (`/host/config`); the \
                 scenario or an earlier session put it there"
            )));
        }
    }
    if let Some(seed) = &settings.config_seed {
        copy_all(seed, &config, &mut { MAX_SEED_BYTES })
            .map_err(|error| InstallError::Lane(format!("cannot copy the lane's seeds to the config dir: {error}")))?;
    }
    for (index, credential) in settings.credentials.iter().enumerate() {
        let Credential::File { from, to } = credential else { continue };
        link_credential(from, index, &opened(home)?, home, &config, Path::new(to)).map_err(|error| {
            InstallError::Lane(format!("cannot copy the credential file {}: {error}", from.display()))
        })?;
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum InstallError {
    /// Caused by the lane or the machine.
    Lane(String),
    /// By something that the scenario put into the config dir.
    Blocked(String),
}

/// What prevents `to` from becoming a file or a link to one. An existing file stays and is used as the login.
fn blocking_entry(config: &SafeDir, to: &Path) -> Option<String> {
    let mut parts: Vec<_> = to.components().collect();
    let name = parts.pop()?;
    let mut so_far = PathBuf::new();
    for part in parts {
        so_far.push(part);
        match config.file_type(&so_far) {
            Some(FileType::Directory) => {}
            Some(kind) => return Some(format!("{} `{}`", describe(kind), so_far.display())),
            None => return None,
        }
    }
    so_far.push(name);
    let kind = config.file_type(&so_far)?;
    let stays = matches!(kind, FileType::RegularFile | FileType::Symlink);
    (!stays).then(|| format!("{} `{}`", describe(kind), so_far.display()))
}

fn describe(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "the file",
        FileType::Directory => "the folder",
        FileType::Symlink => "the link",
        _ => "the pipe, socket or device",
    }
}

/// Moves credential files with which an agent replaced their links, for example when it renewed a login, out of the
/// config dir: the config dir is saved, and their new secrets are unknown to the redactor.
pub(super) fn move_credentials_out(settings: &AgentSettings, config_dir: &Path, home: &Path) -> Result<(), String> {
    for (index, credential) in settings.credentials.iter().enumerate() {
        let Credential::File { to, .. } = credential else { continue };
        let (name, to) = (index.to_string(), Path::new(to));
        let Some((parent, at)) = to.parent().zip(to.file_name()) else { continue };
        let moved = || -> io::Result<()> {
            let Some(dir) = SafeDir::open(config_dir)?
                .open_dir(parent)
                .filter(|dir| dir.file_type(Path::new(at)) == Some(FileType::RegularFile))
            else {
                return Ok(());
            };
            let credentials_dir = SafeDir::open(home)?.create_dir(Path::new(CREDENTIALS_DIR), 0o700);
            // An agent that occupies the name only loses its login.
            credentials_dir
                .and_then(|credentials_dir| dir.move_to(at, &credentials_dir, OsStr::new(&name)))
                .or_else(|_| dir.remove(at))?;
            dir.symlink(&home.join(CREDENTIALS_DIR).join(&name), at)
        };
        moved().map_err(|error| format!("cannot move the login {} out of the config dir: {error}", to.display()))?;
    }
    Ok(())
}

/// Copies the contents of `from`, at most `left` bytes.
fn copy_all(from: &Path, to: &SafeDir, left: &mut u64) -> Result<(), String> {
    let context = |error: io::Error| format!("{}: {error}", from.display());
    for entry in fs::read_dir(from).map_err(context)? {
        let entry = entry.map_err(context)?;
        copy(&entry.path(), to, &entry.file_name(), left)?;
    }
    Ok(())
}

fn copy(from: &Path, to: &SafeDir, name: &OsStr, left: &mut u64) -> Result<(), String> {
    let context = |error: io::Error| format!("{}: {error}", from.display());
    if from.is_dir() {
        return match to.create_dir(Path::new(name), 0o755) {
            Ok(to) => copy_all(from, &to, left),
            // An existing file with that name stays.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(()),
            Err(error) => Err(context(error)),
        };
    }
    let (source, metadata) = host_fs::open(from).map_err(context)?;
    let mode = metadata.permissions().mode() & 0o777;
    *left = left.checked_sub(metadata.len()).ok_or_else(|| context(io::Error::other(SEEDS_TOO_LARGE)))?;
    match to.create_file(name, mode | 0o600) {
        Ok(mut copy) => io::copy(&mut source.take(metadata.len()), &mut copy).map(drop).map_err(context),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(context(error)),
    }
}

fn link_credential(
    from: &Path,
    index: usize,
    home: &SafeDir,
    home_path: &Path,
    config_dir: &SafeDir,
    to: &Path,
) -> io::Result<()> {
    let name = index.to_string();
    match home.create_dir(Path::new(CREDENTIALS_DIR), 0o700)?.create_file(OsStr::new(&name), 0o600) {
        Ok(mut copy) => copy.write_all(&host_fs::read(from)?)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let (Some(parent), Some(at)) = (to.parent(), to.file_name()) else { return Ok(()) };
    match config_dir.create_dir(parent, 0o755)?.symlink(&home_path.join(CREDENTIALS_DIR).join(name), at) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, path::PathBuf};

    use super::*;
    use host_model::LaneKind;

    #[test]
    fn seeds_do_not_overwrite_existing_files() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["seed/deep", "config", "home"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        fs::write(at("seed/settings.json"), "lane").unwrap();
        fs::write(at("seed/deep/a"), "a").unwrap();
        fs::write(at("config/settings.json"), "scenario").unwrap();
        fs::write(at("auth.json"), "secret").unwrap();
        let mut settings = AgentSettings::new(LaneKind::Codex);
        settings.config_seed = Some(at("seed"));
        settings.credentials = vec![Credential::File { from: at("auth.json"), to: "deep/auth.json".into() }];
        // Again for the next session.
        for _ in 0..2 {
            install(&settings, &at("config"), &at("home")).unwrap();
        }
        let read = |name: &str| fs::read_to_string(at(name)).unwrap();
        assert_eq!((read("config/settings.json"), read("config/deep/a")), ("scenario".into(), "a".into()));
        assert_eq!(read("config/deep/auth.json"), "secret");
        let linked = fs::read_link(at("config/deep/auth.json")).unwrap();
        assert!(linked.starts_with(at("home")), "the config dir itself holds no secret");
        assert_eq!(fs::metadata(linked).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn endless_or_oversized_seeds_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["seed", "config", "home"] {
            fs::create_dir(at(name)).unwrap();
        }
        let mut settings = AgentSettings::new(LaneKind::Codex);
        settings.config_seed = Some(at("seed"));
        let refused = |settings: &AgentSettings, words: &str| {
            let problem = install(settings, &at("config"), &at("home")).unwrap_err();
            assert!(matches!(&problem, InstallError::Lane(problem) if problem.contains(words)), "{problem:?}");
        };
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, at("seed/a"), fifo, 0o600.into(), 0).unwrap();
        refused(&settings, "seed/a: it is not a regular file");
        fs::remove_file(at("seed/a")).unwrap();
        symlink("/dev/zero", at("seed/a")).unwrap();
        refused(&settings, "seed/a: it is not a regular file");
        fs::remove_file(at("seed/a")).unwrap();
        fs::File::create(at("seed/a")).unwrap().set_len(MAX_SEED_BYTES + 1).unwrap();
        refused(&settings, "seed/a: the seeds exceed 1 GiB in total");
        assert_eq!(fs::read_dir(at("config")).unwrap().count(), 0);
        settings.config_seed = None;
        for (from, words) in [(PathBuf::from("/dev/zero"), "not a regular file"), (at("seed/a"), "16777216 bytes")] {
            settings.credentials = vec![Credential::File { from, to: "auth.json".into() }];
            refused(&settings, words);
            fs::remove_dir_all(at("home/.host-credentials")).unwrap();
        }
    }

    #[test]
    fn links_of_an_earlier_session_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["seed/deep", "config", "home", "outside"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        fs::write(at("seed/deep/a"), "a").unwrap();
        fs::write(at("auth.json"), "secret").unwrap();
        fs::set_permissions(at("outside"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink(at("outside"), at("config/deep")).unwrap();
        let mut settings = AgentSettings::new(LaneKind::Codex);
        settings.config_seed = Some(at("seed"));
        install(&settings, &at("config"), &at("home")).unwrap();
        settings.credentials = vec![Credential::File { from: at("auth.json"), to: "deep/auth.json".into() }];
        let problem = install(&settings, &at("config"), &at("home")).unwrap_err();
        assert!(
            matches!(&problem, InstallError::Blocked(what) if what.contains("the link `deep` already exists")),
            "{problem:?}"
        );
        fs::remove_file(at("config/deep")).unwrap();
        symlink(at("outside"), at("home/.host-credentials")).unwrap();
        assert!(matches!(install(&settings, &at("config"), &at("home")), Err(InstallError::Lane(_))));
        fs::remove_file(at("home/.host-credentials")).unwrap();
        install(&settings, &at("config"), &at("home")).unwrap();
        fs::remove_dir_all(at("home/.host-credentials")).unwrap();
        symlink(at("outside"), at("home/.host-credentials")).unwrap();
        assert!(install(&settings, &at("config"), &at("home")).is_err());
        assert_eq!(fs::read_dir(at("outside")).unwrap().count(), 0);
        assert_eq!(fs::metadata(at("outside")).unwrap().permissions().mode() & 0o777, 0o755);
    }

    #[test]
    fn renewed_logins_leave_the_config_dir() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["config", "home"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        fs::write(at("auth.json"), "old").unwrap();
        let mut settings = AgentSettings::new(LaneKind::Codex);
        settings.credentials = vec![Credential::File { from: at("auth.json"), to: "deep/auth.json".into() }];
        move_credentials_out(&settings, &at("config"), &at("home")).unwrap();
        install(&settings, &at("config"), &at("home")).unwrap();
        let is_link = || at("config/deep/auth.json").symlink_metadata().unwrap().is_symlink();
        move_credentials_out(&settings, &at("config"), &at("home")).unwrap();
        assert!(is_link());
        fs::write(at("config/new"), "new").unwrap();
        fs::rename(at("config/new"), at("config/deep/auth.json")).unwrap();
        assert!(!is_link());
        move_credentials_out(&settings, &at("config"), &at("home")).unwrap();
        assert!(is_link());
        // For the next session.
        install(&settings, &at("config"), &at("home")).unwrap();
        assert_eq!(fs::read_to_string(at("config/deep/auth.json")).unwrap(), "new");
        assert_eq!(fs::read_to_string(at("auth.json")).unwrap(), "old", "the user's own");
        fs::remove_dir_all(at("home/.host-credentials")).unwrap();
        symlink(dir.path(), at("home/.host-credentials")).unwrap();
        fs::remove_file(at("config/deep/auth.json")).unwrap();
        fs::write(at("config/deep/auth.json"), "newer").unwrap();
        move_credentials_out(&settings, &at("config"), &at("home")).unwrap();
        assert!(is_link() && !at("0").exists());
    }

    #[test]
    fn a_login_blocked_by_the_scenario_is_its_fault() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(dir.path().join("auth.json"), "secret").unwrap();
        let mut settings = AgentSettings::new(LaneKind::Codex);
        settings.credentials = vec![Credential::File { from: at("auth.json"), to: "deep/er/auth.json".into() }];
        let fifo = |path: &Path| {
            rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        };
        let tried = |name: &str, put: &dyn Fn(&Path)| {
            for name in ["config", "home"] {
                let _ = fs::remove_dir_all(at(name));
                fs::create_dir(at(name)).unwrap();
            }
            let path = at("config").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            put(&path);
            install(&settings, &at("config"), &at("home"))
        };
        let file: &dyn Fn(&Path) = &|path| fs::write(path, "x").unwrap();
        let link: &dyn Fn(&Path) = &|path| symlink("elsewhere", path).unwrap();
        let directory: &dyn Fn(&Path) = &|path| fs::create_dir(path).unwrap();
        for (name, put, what) in [
            ("deep", file, "the file `deep`"),
            ("deep/er", file, "the file `deep/er`"),
            ("deep", link, "the link `deep`"),
            ("deep", &fifo, "the pipe, socket or device `deep`"),
            ("deep/er/auth.json", directory, "the folder `deep/er/auth.json`"),
            ("deep/er/auth.json", &fifo, "the pipe, socket or device `deep/er/auth.json`"),
        ] {
            let problem = tried(name, put).unwrap_err();
            assert!(
                matches!(&problem, InstallError::Blocked(problem) if problem.contains(what)),
                "{what}: {problem:?}"
            );
        }
        for (name, put) in [("deep/er", directory), ("other", file), ("deep/er/auth.json", file)] {
            assert_eq!(tried(name, put), Ok(()), "{name}");
        }
        // The lane's own seeds are the lane's fault.
        fs::create_dir(at("seed")).unwrap();
        fs::write(at("seed/deep"), "x").unwrap();
        let seeded = AgentSettings { config_seed: Some(at("seed")), ..settings.clone() };
        for name in ["config", "home"] {
            fs::remove_dir_all(at(name)).unwrap();
            fs::create_dir(at(name)).unwrap();
        }
        assert!(matches!(install(&seeded, &at("config"), &at("home")), Err(InstallError::Lane(_))));
    }

    #[test]
    fn missing_seeds_are_reported() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = AgentSettings::new(LaneKind::Codex);
        settings.config_seed = Some(dir.path().join("none"));
        let problem = install(&settings, dir.path(), dir.path()).unwrap_err();
        assert!(matches!(&problem, InstallError::Lane(problem) if problem.contains("none")), "{problem:?}");
    }
}
