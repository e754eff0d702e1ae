//! Puts into an agent's config dir what the lane brings: seeds, and files to log in with.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink},
    path::Path,
};

use crate::model::{AgentSettings, Credential};

/// Where the files to log in with lie in the agent's HOME. A component sees the config dir and its transcripts are
/// kept, so that there is only a link to them there, which neither follows.
const CREDENTIALS: &str = ".host-credentials";

/// Copies the seeds and the files of credentials. What is in the config dir already stays: the scenario's own
/// seeds, and what an earlier session has left.
pub(super) fn plant(settings: &AgentSettings, config_dir: &Path, home: &Path) -> Result<(), String> {
    if let Some(seed) = &settings.config_seed {
        copy(seed, config_dir).map_err(|error| format!("cannot copy the lane's seeds of the config dir, {error}"))?;
    }
    for (index, credential) in settings.credentials.iter().enumerate() {
        let Credential::File { from, to } = credential else { continue };
        let kept = home.join(CREDENTIALS).join(index.to_string());
        link(from, &kept, &config_dir.join(to))
            .map_err(|error| format!("cannot give the agent {}: {error}", from.display()))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let told = |error: io::Error| format!("{}: {error}", from.display());
    if from.is_dir() {
        fs::create_dir_all(to).map_err(told)?;
        for entry in fs::read_dir(from).map_err(told)? {
            let entry = entry.map_err(told)?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    let mut source = File::open(from).map_err(told)?;
    let mode = source.metadata().map_err(told)?.permissions().mode();
    match OpenOptions::new().write(true).create_new(true).mode(mode | 0o600).open(to) {
        Ok(mut copy) => io::copy(&mut source, &mut copy).map(drop).map_err(told),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(format!("{}: {error}", to.display())),
    }
}

fn link(from: &Path, kept: &Path, at: &Path) -> io::Result<()> {
    let (Some(folder), Some(parent)) = (kept.parent(), at.parent()) else { return Ok(()) };
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    if !kept.exists() {
        let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(kept)?;
        io::copy(&mut File::open(from)?, &mut copy)?;
    }
    fs::create_dir_all(parent)?;
    match symlink(kept, at) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LaneKind;

    #[test]
    fn seeds_are_copied_and_what_is_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
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
            plant(&settings, &at("config"), &at("home")).unwrap();
        }
        let read = |name: &str| fs::read_to_string(at(name)).unwrap();
        assert_eq!((read("config/settings.json"), read("config/deep/a")), ("scenario".into(), "a".into()));
        assert_eq!(read("config/deep/auth.json"), "secret");
        let linked = fs::read_link(at("config/deep/auth.json")).unwrap();
        assert!(linked.starts_with(at("home")), "the config dir itself holds no secret");
        assert_eq!(fs::metadata(linked).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn seeds_that_are_missing_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = AgentSettings::new(LaneKind::Codex);
        settings.config_seed = Some(folder.path().join("none"));
        let problem = plant(&settings, folder.path(), folder.path()).unwrap_err();
        assert!(problem.contains("none"), "{problem}");
    }
}
