use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use super::recorded_run::RecordedRun;
use crate::app::{
    error::Error,
    text::{few, one_line},
};
use host_model::shown;
use host_suite::config::nearest;

/// The run directory that `named` names: its path, its name below `output`, or `latest`.
pub(super) fn find_run(named: Option<&OsStr>, output: &Path) -> Result<PathBuf, Error> {
    let named = named.unwrap_or(OsStr::new("latest"));
    let name = shown(Path::new(named));
    if named == "latest" {
        return output.join("latest").canonicalize().map_err(|_| {
            let runs = std::fs::read_dir(output.join("runs")).into_iter().flatten().flatten();
            let newest = runs.map(|entry| entry.file_name().to_string_lossy().into_owned()).max();
            let output = shown(output);
            Error::setup(match newest {
                Some(newest) => format!(
                    "{output} has no latest run: the last `host run` did not begin\n\
                     help: name an earlier run (`host regrade {}`)",
                    one_line(&newest)
                ),
                None => format!(
                    "{output} does not contain a run\n\
                     help: run `host run` first, or name a run directory (`host regrade DIR`)"
                ),
            })
        });
    }
    let path = Path::new(named);
    if path.extension().is_some_and(|extension| extension == "wasm") || path.is_file() {
        return Err(Error::setup(format!(
            "`{name}` is not a run directory\nhelp: name the run before the plugins (`host regrade latest {name}`)"
        )));
    }
    let runs = output.join("runs");
    let plain = path.components().count() == 1 && path.file_name().is_some_and(|name| name == named);
    let found =
        plain.then(|| runs.join(path)).filter(|run| run.is_dir()).or_else(|| path.is_dir().then(|| path.into()));
    found.ok_or_else(|| {
        let known: Vec<String> = std::fs::read_dir(&runs).map_or_else(
            |_| Vec::new(),
            |entries| entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect(),
        );
        let near = nearest(&named.to_string_lossy(), known.iter().map(String::as_str));
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        Error::setup(format!("cannot find the run `{name}` in {}, nor a folder of that name{near}", shown(&runs)))
    })
}

/// The files of the run's plugins; they may have been built again since.
pub(super) fn recorded_plugins(run: &RecordedRun, cwd: &Path, base: &Path) -> Result<Vec<OsString>, Error> {
    let mut names = Vec::new();
    let mut gone = Vec::new();
    for plugin in &run.plugins {
        if cwd.join(&plugin.path).is_file() {
            names.push(plugin.path.clone().into_os_string());
        } else if base.join(&plugin.path).is_file() {
            names.push(base.join(&plugin.path).into_os_string());
        } else {
            gone.push(format!("`{}`", shown(&plugin.path)));
        }
    }
    if gone.is_empty() {
        return Ok(names);
    }
    Err(Error::setup(format!(
        "cannot find the run's plugins {}\nhelp: name the plugins to grade with (`host regrade {} PLUGIN...`)",
        few(&gone),
        run.id
    )))
}
