//! Files and folders of a scenario that nobody reads, although their names say what they were meant for.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use super::source::seen_from_here;
use host_model::text::nearest;

/// What a scenario's folder may hold.
const KNOWN: [&str; 5] = ["scenario.toml", "root", "config", "agents", "bin"];
/// Names that other tools and other people use for the same.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("fixture", "root"),
    ("fixtures", "root"),
    ("files", "root"),
    ("workspace", "root"),
    ("scripts", "agents"),
    ("path", "bin"),
    ("stubs", "bin"),
    ("shims", "bin"),
    ("suite.toml", "scenario.toml"),
];
/// Endings that a script may have by mistake.
const NOT_TOML: [&str; 5] = ["tml", "tom", "yaml", "yml", "json"];

/// Something that nobody reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// Where it lies.
    pub path: PathBuf,
    /// What it was probably meant to be called.
    pub meant: String,
}

impl std::fmt::Display for Stray {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is not read; did you mean `{}`?", seen_from_here(&self.path), self.meant)
    }
}

/// Those of a scenario's folder, by name. `used` are paths in it that somebody reads.
pub(super) fn strays<'a>(folder: &Path, used: impl Iterator<Item = &'a str>) -> Vec<Stray> {
    let used: HashSet<&str> = used.filter_map(|path| path.split('/').next()).collect();
    let mut found: Vec<Stray> = entries(folder)
        .filter(|(name, _)| !used.contains(name.as_str()))
        .filter_map(|(name, path)| {
            let meant = meant(&name)?;
            // What is there under its right name needs no other.
            (!folder.join(meant).exists()).then(|| Stray { path, meant: meant.to_owned() })
        })
        .chain(entries(&folder.join("agents")).filter_map(|(name, path)| {
            let (stem, ending) = name.rsplit_once('.')?;
            NOT_TOML.contains(&ending).then(|| Stray { path, meant: format!("{stem}.toml") })
        }))
        .collect();
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

fn meant(name: &str) -> Option<&'static str> {
    if KNOWN.contains(&name) {
        return None;
    }
    let other = OTHER_NAMES.iter().find(|(other, _)| *other == name.to_lowercase());
    other.map(|(_, known)| *known).or_else(|| nearest(name, KNOWN))
}

/// Names and paths, without those that begin with a dot. A folder that cannot be read has been told of by then.
fn entries(folder: &Path) -> impl Iterator<Item = (String, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()));
    named.filter(|(name, _)| !name.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misnamed_entries_are_found() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["agent", "fixture", "files", "notes", "agents", "Config"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        for name in ["scenarios.toml", "README.md", ".agent", "agents/a.toml", "agents/b.yaml", "agents/c.toml~"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let found: Vec<_> = strays(folder.path(), ["files/deep"].into_iter())
            .into_iter()
            .map(|stray| (stray.path.strip_prefix(folder.path()).unwrap().display().to_string(), stray.meant))
            .collect();
        let expected = [
            ("Config", "config"),
            // There is an `agents` beside `agent`.
            ("agents/b.yaml", "b.toml"),
            ("fixture", "root"),
            ("scenarios.toml", "scenario.toml"),
        ];
        assert_eq!(found, expected.map(|(path, meant)| (path.to_owned(), meant.to_owned())));
    }
}
