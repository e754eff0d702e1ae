//! `scenarios/<name>/agents/`: the scripted agents of a scenario.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Deserialize;

use super::{
    error::ConfigError,
    parse::parse,
    source::{ReadError, read},
    value::Table,
    within::SuiteFolder,
};
use host_model::{Script, ScriptExpectation, ScriptedAgent, Step, check_name};

/// Reads the scripts of a folder that need not be there.
///
/// # Errors
/// Everything that is wrong with them.
pub(super) fn agents(
    folder: &Path,
    suite: SuiteFolder<'_>,
) -> Result<BTreeMap<String, ScriptedAgent>, Vec<ConfigError>> {
    let mut agents = BTreeMap::new();
    let mut problems = Vec::new();
    suite.check_inside(folder).map_err(|error| vec![error])?;
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(agents),
        Err(_) if folder.exists() && !folder.is_dir() => {
            return Err(vec![ConfigError::NotAFolder { path: folder.to_owned() }]);
        }
        Err(source) => return Err(vec![ReadError::Io { path: folder.to_owned(), source }.into()]),
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    for path in files {
        // Files of editors and tools are none of ours.
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden || path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if let Err(source) = check_name(&name) {
            problems.push(ConfigError::FolderName { folder: path, source });
            continue;
        }
        match suite.check_inside(&path).and_then(|()| script(&path)) {
            Ok(script) => drop(agents.insert(name, ScriptedAgent { path, script })),
            Err(error) => problems.push(error),
        }
    }
    if problems.is_empty() { Ok(agents) } else { Err(problems) }
}

/// A [`Script`] of which every step is read as a table of its own, so that an error names the step's place.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptFile {
    summary: String,
    expect: ScriptExpectation,
    #[serde(default)]
    step: Vec<Table<Step>>,
}

fn script(path: &Path) -> Result<Script, ConfigError> {
    let text = read(path)?.unwrap_or_else(|| Arc::from(""));
    let ScriptFile { summary, expect, step } = parse(path, &text)?;
    Ok(Script { summary, expect, steps: step.into_iter().map(|Table(step)| step).collect() })
}
