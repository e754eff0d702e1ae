//! `host new`: a folder with a scenario that builds, runs and is proved as it stands.

mod files;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    args::{Language, NewArgs},
    failure::Failure,
    list::write_all,
};
use crate::{
    component::CONTRACT,
    model::{ExitCode, check_name, shown},
};

/// The name that stands in the templates, in texts and paths.
const PLACEHOLDER: &str = "scenario-name";

/// `host new`.
pub(super) fn new(args: &NewArgs) -> Result<ExitCode, Failure> {
    check_name(&args.name).map_err(|error| Failure::setup(error.to_string()))?;
    let folder = args.dir.clone().unwrap_or_else(|| PathBuf::from(&args.name));
    let problem = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotADirectory => {
            Failure::setup(format!(
                "`{}` is there already; nothing was written: name another folder with `--dir`",
                shown(&folder)
            ))
        }
        _ => Failure::setup(format!("cannot write `{}`: {error}", shown(&folder))),
    };
    write(&folder, &args.name, args.lang).map_err(problem)?;
    let told = shown(&folder);
    write_all(&format!(
        "{told}: the scenario `{}`\n\nIts README says how it is built. In short:\n\n  cd {told}\n{}  host run\n  host prove\n",
        args.name,
        files::commands(args.lang)
    ))?;
    Ok(ExitCode::Ok)
}

/// All or nothing: what is written stands elsewhere until it is complete.
fn write(folder: &Path, name: &str, language: Language) -> io::Result<()> {
    if fs::symlink_metadata(folder).is_ok() && fs::read_dir(folder)?.next().is_some() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    let new = tempfile::Builder::new().prefix(".new-").tempdir_in(parent)?;
    let complete = new.path().join("complete");
    for (path, text) in all(language) {
        let path = complete.join(path.replace(PLACEHOLDER, name));
        fs::create_dir_all(path.parent().unwrap_or(&complete))?;
        fs::write(path, text.replace(PLACEHOLDER, name))?;
    }
    fs::rename(&complete, folder)
}

/// Every file of the folder, with its path there.
fn all(language: Language) -> impl Iterator<Item = (String, &'static str)> {
    let contract = CONTRACT.iter().map(|&(path, text)| (format!("wit/{path}"), text));
    let sets = files::sets(language).into_iter();
    let files = sets.flat_map(|set| set.files.iter().map(move |&(path, text)| (format!("{}{path}", set.place), text)));
    contract.chain(files)
}

#[cfg(test)]
mod tests;
