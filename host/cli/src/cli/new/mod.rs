//! `host new`: a folder with a scenario that builds, runs and is proved as it stands.

mod files;

use std::{
    env,
    ffi::OsStr,
    fs, io,
    path::{Component, Path, PathBuf},
};

use super::{
    args::{Language, NewArgs},
    terminal,
};
use host_core::app::Error;
use host_model::{ExitCode, check_name, shown};
use host_wasm::component::CONTRACT;

/// The name that stands in the templates, in texts and paths.
const PLACEHOLDER: &str = "scenario-name";

/// What version control keeps in a folder that has nothing else yet.
const VERSION_CONTROL: [&str; 7] = [".git", ".gitattributes", ".gitmodules", ".hg", ".jj", ".pijul", ".svn"];

pub(super) fn new(args: &NewArgs) -> Result<ExitCode, Error> {
    check_name(&args.name).map_err(|error| Error::setup(error.to_string()))?;
    if let Some(file) = taken(&args.name, args.lang) {
        let what = format!(
            "cannot create a scenario named `{}`: the file `{file}` needs this name\nhelp: choose another name",
            args.name
        );
        return Err(Error::setup(what));
    }
    let folder = args.dir.clone().unwrap_or_else(|| PathBuf::from(&args.name));
    let problem = |error: io::Error| match error.kind() {
        io::ErrorKind::DirectoryNotEmpty => Error::setup(format!(
            "cannot create `{}`: the folder is not empty\nhelp: choose another folder with `--dir`",
            shown(&folder)
        )),
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => Error::setup(format!(
            "cannot create `{}`: it is a file, or a path inside a file\nhelp: choose another folder with `--dir`",
            shown(&folder)
        )),
        _ => Error::setup(format!("cannot write `{}`: {error}", shown(&folder))),
    };
    write(&folder, &args.name, args.lang).map_err(problem)?;
    let program = called_as(env::args_os().next().as_deref());
    terminal::output(&format!(
        "{}: the scenario `{}`\n\nIts README explains the build. In short:\n\n{}{}  {program} run\n  {program} prove\n",
        shown(&folder),
        args.name,
        change_to(&folder),
        files::commands(args.lang)
    ))?;
    Ok(ExitCode::Ok)
}

/// The name to call the program by: where it was called `scenario-host`, another program may be called `host`.
fn called_as(arg0: Option<&OsStr>) -> &'static str {
    let name = arg0.map(Path::new).and_then(Path::file_name);
    if name.is_some_and(|name| name == "scenario-host") { "scenario-host" } else { "host" }
}

/// A file of the template where the scenario's folder would be.
fn taken(name: &str, language: Language) -> Option<String> {
    let folder = format!("scenarios/{name}");
    // Not every file system tells large letters from small ones.
    all(language).map(|(path, _)| path).find(|path| path.eq_ignore_ascii_case(&folder))
}

/// The line that goes there, for a shell; none for where it was called.
fn change_to(folder: &Path) -> String {
    if folder.components().all(|part| part == Component::CurDir) {
        return String::new();
    }
    let path = folder.to_string_lossy();
    let path = if path.contains(char::is_control) { shown(folder).to_string().into() } else { path };
    let path = if path.starts_with('-') { format!("./{path}").into() } else { path };
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:@%".contains(c);
    match path.chars().all(plain) {
        true => format!("  cd {path}\n"),
        false => format!("  cd '{}'\n", path.replace('\'', "'\\''")),
    }
}

/// All or nothing: what is written stands elsewhere until it is complete.
fn write(folder: &Path, name: &str, language: Language) -> io::Result<()> {
    let there = fs::symlink_metadata(folder).is_ok();
    if there && fs::read_dir(folder)?.any(|entry| !entry.is_ok_and(|entry| is_version_control(&entry.file_name()))) {
        return Err(io::ErrorKind::DirectoryNotEmpty.into());
    }
    let beside = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let parent = if there { folder } else { beside };
    fs::create_dir_all(parent)?;
    let new = tempfile::Builder::new().prefix(".new-").tempdir_in(parent)?;
    let complete = new.path().join("complete");
    for (path, text) in all(language) {
        let path = complete.join(path.replace(PLACEHOLDER, name));
        fs::create_dir_all(path.parent().unwrap_or(&complete))?;
        fs::write(path, text.replace(PLACEHOLDER, name))?;
    }
    if there { fill(folder, &complete) } else { fs::rename(&complete, folder) }
}

fn is_version_control(name: &OsStr) -> bool {
    VERSION_CONTROL.iter().any(|known| name == *known)
}

/// Moves what `complete` holds into a folder that is there; back again, where something stops it.
fn fill(folder: &Path, complete: &Path) -> io::Result<()> {
    let mut moved = Vec::new();
    for entry in fs::read_dir(complete)? {
        let entry = entry?;
        let place = folder.join(entry.file_name());
        if let Err(error) = fs::rename(entry.path(), &place) {
            for (place, from) in moved {
                let _ = fs::rename(place, from);
            }
            return Err(error);
        }
        moved.push((place, entry.path()));
    }
    Ok(())
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
