//! Entries of a scenario's folder that are not read although their names suggest a purpose.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use super::source::seen_from_here;
use host_model::text::nearest;

/// Entries of a scenario's folder that are read.
const KNOWN: [&str; 5] = ["scenario.toml", "root", "config", "agents", "bin"];
/// Names that other tools use for them.
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
/// Extensions that a script can have by mistake.
const NOT_TOML: [&str; 5] = ["tml", "tom", "yaml", "yml", "json"];

/// An entry that is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// Its path.
    pub path: PathBuf,
    /// The name that was probably meant.
    pub meant: String,
}

impl std::fmt::Display for Stray {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is not read; did you mean `{}`?", seen_from_here(&self.path), self.meant)
    }
}

/// The strays of a scenario's folder, by name. `used` are paths in it that are read for other reasons.
pub(super) fn strays<'a>(folder: &Path, used: impl Iterator<Item = &'a str>) -> Vec<Stray> {
    let used: HashSet<&str> = used.filter_map(|path| path.split('/').next()).collect();
    let mut found: Vec<Stray> = entries(folder)
        .filter(|(name, _)| !used.contains(name.as_str()))
        .filter_map(|(name, path)| {
            let meant = meant(&name)?;
            // The right name is there too.
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

/// Names and paths, without hidden ones. A folder that cannot be read has been reported already.
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
            // There is an `agents` next to `agent`.
            ("agents/b.yaml", "b.toml"),
            ("fixture", "root"),
            ("scenarios.toml", "scenario.toml"),
        ];
        assert_eq!(found, expected.map(|(path, meant)| (path.to_owned(), meant.to_owned())));
    }
}
