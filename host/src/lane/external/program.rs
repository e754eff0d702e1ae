//! Finds an agent's program.

use std::{
    ffi::OsString,
    io::Read,
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access};

use super::super::SYSTEM_PATH;
use crate::{files, model::AgentSettings};

/// A program that can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// What is started.
    pub(super) executable: PathBuf,
    /// Arguments before all others: the script, where `executable` is its interpreter.
    pub(super) before: Vec<OsString>,
}

/// The program of a lane.
///
/// It is looked for where the lane says and where the system has its programs, and never in the folder that a
/// scenario puts before them: what is found is given the lane's credentials. For the same reason a script that asks
/// `env` for its interpreter gets the one that is found here.
///
/// # Errors
/// Says where it was looked for, and what to do.
pub(super) fn find(name: Option<&str>, settings: &AgentSettings) -> Result<Found, String> {
    let asked = settings.command.as_deref().or(name).ok_or("the lane names no `command`")?;
    let program = look_up(asked, &settings.path)?;
    match interpreter(&program) {
        Some(interpreter) => {
            let executable = look_up(&interpreter, &settings.path)
                .map_err(|problem| format!("{} needs `{interpreter}`: {problem}", program.display()))?;
            Ok(Found { executable, before: vec![program.into()] })
        }
        None => Ok(Found { executable: program, before: Vec::new() }),
    }
}

fn look_up(asked: &str, folders: &[PathBuf]) -> Result<PathBuf, String> {
    let runs = |path: &Path| path.is_file() && access(path, Access::EXEC_OK).is_ok();
    if asked.contains('/') {
        let path = PathBuf::from(asked);
        return if !path.is_absolute() {
            Err(format!("`{asked}` must be an absolute path, or the name of a program"))
        } else if runs(&path) {
            Ok(path)
        } else if path.exists() {
            Err(format!("{asked} is no program that may be run: it is a folder, or lacks the permission (`chmod +x`)"))
        } else {
            Err(format!("there is no {asked}: install the agent there, or correct the lane's `command`"))
        };
    }
    let system = SYSTEM_PATH.split(':').map(Path::new);
    let mut places = folders.iter().map(PathBuf::as_path).chain(system);
    places.find_map(|folder| Some(folder.join(asked)).filter(|path| runs(path))).ok_or_else(|| {
        let mut looked: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
        looked.push(SYSTEM_PATH.replace(':', ", "));
        format!(
            "there is no program `{asked}` in {}: install the agent, or name its folder in the lane's `path` or the \
             program itself as `command`",
            looked.join(", ")
        )
    })
}

/// The word in a first line `#!/usr/bin/env WORD`.
fn interpreter(program: &Path) -> Option<String> {
    let mut start = [0; 256];
    let read = files::open(program).ok()?.0.read(&mut start).ok()?;
    let line = start[..read].split(|byte| *byte == b'\n').next()?;
    let word = std::str::from_utf8(line).ok()?.strip_prefix("#!/usr/bin/env ")?.trim();
    let plain = !word.is_empty() && !word.starts_with('-') && !word.contains([' ', '\t', '=', '/']);
    plain.then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::model::LaneKind;

    fn found(executable: &Path, before: &[&Path]) -> Result<Found, String> {
        let before = before.iter().map(|path| path.as_os_str().to_owned()).collect();
        Ok(Found { executable: executable.to_owned(), before })
    }

    fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn the_lanes_folders_come_before_the_systems() {
        let folder = tempfile::tempdir().unwrap();
        let shadowed = script(folder.path(), "sh", "#!/bin/sh\n");
        let mut settings = AgentSettings::new(LaneKind::Pi);
        assert_ne!(find(Some("sh"), &settings).unwrap().executable, shadowed);
        settings.path = vec!["/nowhere".into(), folder.path().into()];
        assert_eq!(find(Some("sh"), &settings), found(&shadowed, &[]));
    }

    #[test]
    fn an_interpreter_is_found_like_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let program = script(folder.path(), "pi", "#!/usr/bin/env node\nx");
        let node = script(folder.path(), "node", "#!/bin/sh\n");
        let mut settings = AgentSettings::new(LaneKind::Pi);
        settings.path = vec![folder.path().into()];
        assert_eq!(find(Some("pi"), &settings), found(&node, &[&program]));
        fs::remove_file(node).unwrap();
        settings.command = Some(program.display().to_string());
        fs::write(&program, "#!/usr/bin/env no-such-interpreter\n").unwrap();
        let problem = find(Some("pi"), &settings).unwrap_err();
        assert!(problem.contains("needs `no-such-interpreter`"), "{problem}");
        for kept in ["#!/usr/bin/env -S node --x\n", "#!/bin/sh\n", "\x7fELF", ""] {
            fs::write(&program, kept).unwrap();
            assert_eq!(find(Some("pi"), &settings), found(&program, &[]), "{kept:?}");
        }
    }

    #[test]
    fn what_is_not_there_is_told_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = AgentSettings::new(LaneKind::Claude);
        settings.path = vec![folder.path().into()];
        let problem = find(Some("no-such-agent"), &settings).unwrap_err();
        assert!(problem.contains(&folder.path().display().to_string()) && problem.contains("install"), "{problem}");
        for (command, says) in [("bin/claude", "absolute"), ("/nowhere/claude", "there is no"), ("/etc", "no program")]
        {
            settings.command = Some(command.into());
            let problem = find(None, &settings).unwrap_err();
            assert!(problem.contains(says), "{problem}");
        }
    }
}
