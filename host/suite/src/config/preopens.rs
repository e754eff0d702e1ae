//! `preopens`: the directories of a plain command, where the default ones do not fit.

use std::{
    collections::{BTreeMap, HashSet},
    fs, io,
    ops::Range,
    path::{Component, Path, PathBuf},
};

use serde::Deserialize;
use toml::Spanned;

use super::value::Table;
use host_model::{Preopen, PreopenSource, text::did_you_mean};

/// Each takes a descriptor of the host while its attempt runs.
const MAX_PREOPENS: usize = 100;
/// Bytes of a directory's name, as of any path.
const MAX_NAME: usize = 4096;
/// The words of `from` that are not folders.
const WORDS: [&str; 3] = ["root", "config", "before"];

/// One entry as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PreopenTable {
    from: Spanned<String>,
    to: Spanned<String>,
    mode: Option<Spanned<Mode>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    Rw,
    Ro,
}

/// The directories of a plain command, and where the folders lie that they come from.
#[derive(Debug, Default)]
pub(super) struct Preopens {
    pub(super) list: Vec<Preopen>,
    pub(super) folders: BTreeMap<String, PathBuf>,
}

/// A problem, and its bytes.
pub(super) type Problem = (Range<usize>, String);

/// Reads `preopens` of the scenario in `folder`. `taken` are names that are given by other means.
pub(super) fn preopens(
    written: &Spanned<Vec<Table<PreopenTable>>>,
    folder: &Path,
    taken: &[&str],
    problems: &mut Vec<Problem>,
) -> Preopens {
    let tables = written.get_ref();
    if tables.len() > MAX_PREOPENS {
        let what = format!("there are {} preopens, but at most {MAX_PREOPENS} are allowed", tables.len());
        problems.push((written.span(), what));
        return Preopens::default();
    }
    let mut found = Preopens::default();
    let mut names: HashSet<&str> = taken.iter().copied().collect();
    for Table(table) in tables {
        let to = table.to.get_ref();
        if let Some(what) = unfit_name(to) {
            problems.push((table.to.span(), what));
        } else if !names.insert(to.as_str()) {
            problems.push((table.to.span(), format!("{to:?} is already in use; each preopen needs its own name")));
        }
        match table.source(folder, &mut found.folders) {
            Ok(from) => {
                let read_only = match (&table.mode, &from) {
                    (Some(mode), PreopenSource::Before) if *mode.get_ref() == Mode::Rw => {
                        let what = "`before` is read-only; write `mode = \"ro\"`, or remove `mode`";
                        problems.push((mode.span(), what.into()));
                        true
                    }
                    (Some(mode), _) => *mode.get_ref() == Mode::Ro,
                    (None, from) => *from == PreopenSource::Before,
                };
                found.list.push(Preopen { from, to: to.clone(), read_only });
            }
            Err(what) => problems.push((table.from.span(), what)),
        }
    }
    found
}

fn unfit_name(to: &str) -> Option<String> {
    if to.is_empty() {
        return Some("a preopen needs a name; write \"/\" or \".\"".into());
    }
    if to.contains('\0') {
        return Some("the name of a preopen cannot contain the character NUL; remove it".into());
    }
    (to.len() > MAX_NAME).then(|| format!("the name of a preopen has at most {MAX_NAME} bytes; shorten it"))
}

impl PreopenTable {
    fn source(&self, scenario: &Path, folders: &mut BTreeMap<String, PathBuf>) -> Result<PreopenSource, String> {
        let from = self.from.get_ref();
        let name = plain(from).map_err(|what| format!("{from:?} {what}"))?;
        match name.as_str() {
            "root" => Ok(PreopenSource::Root),
            "config" => Ok(PreopenSource::Config),
            "before" if scenario.join("root").is_dir() => Ok(PreopenSource::Before),
            "before" => {
                Err("the scenario has no `root/`, so `before` does not exist; add one, or name another folder".into())
            }
            _ => {
                let place = within(scenario, &name).map_err(|what| format!("{from:?} {what}"))?;
                folders.insert(name.clone(), place);
                Ok(PreopenSource::Folder(name))
            }
        }
    }
}

/// The names of a path from the scenario's folder, without what changes nothing; or what it is instead.
fn plain(path: &str) -> Result<String, String> {
    let mut names = Vec::new();
    if path.contains('\0') {
        return Err("contains the character NUL, which no path can; remove it".into());
    }
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => names.push(name.to_string_lossy()),
            Component::CurDir => {}
            Component::ParentDir => {
                return Err("has `..`; write the path from the scenario's folder without it".into());
            }
            Component::RootDir | Component::Prefix(_) => {
                return Err(
                    "begins with `/`; write the path from the scenario's folder, or copy what is there into a \
                            folder of the scenario"
                        .into(),
                );
            }
        }
    }
    if names.is_empty() {
        let what = if path.is_empty() { "is empty" } else { "is the scenario's folder itself" };
        return Err(format!("{what}; write `root`, `config`, `before`, or the name of a folder in it"));
    }
    Ok(names.join("/"))
}

/// The folder `name` of a scenario. A link on the way would lead out of the folders that are copied.
fn within(scenario: &Path, name: &str) -> Result<PathBuf, String> {
    let mut place = scenario.to_owned();
    for part in name.split('/') {
        place.push(part);
        match fs::symlink_metadata(&place) {
            Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(format!("cannot be read: {error}"));
            }
            Err(_) => return Err(format!("is not a folder of the scenario; {}", near(scenario, &place))),
            Ok(found) if found.is_symlink() => {
                return Err("is a link, or passes through one; name a folder of the scenario itself".into());
            }
            Ok(found) if !found.is_dir() && place.parent() == Some(scenario) => {
                return Err("is a file; put it into a folder of the scenario, and name that".into());
            }
            Ok(found) if !found.is_dir() => return Err("is a file; name the folder that it is in".into()),
            Ok(_) => {}
        }
    }
    Ok(place)
}

/// What may have been meant by a name that nothing has in its folder.
fn near(scenario: &Path, place: &Path) -> String {
    let folder = place.parent().unwrap_or(scenario);
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let names = folders.map(|entry| folder.join(entry.file_name()));
    let mut known: Vec<String> =
        names.filter_map(|path| Some(path.strip_prefix(scenario).ok()?.to_string_lossy().into_owned())).collect();
    if folder == scenario {
        known.extend(WORDS.map(str::to_owned));
    }
    known.sort();
    known.dedup();
    let name = place.strip_prefix(scenario).unwrap_or(place).to_string_lossy();
    if known.is_empty() {
        let folder = folder.strip_prefix(scenario).unwrap_or(folder);
        return format!("`{}` has no folders; create one, or name another", folder.display());
    }
    did_you_mean(&name, &known.iter().map(String::as_str).collect::<Vec<_>>(), "there are")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct File {
        preopens: Spanned<Vec<Table<PreopenTable>>>,
    }

    fn read(text: &str) -> (Preopens, Vec<String>) {
        let scenario = tempfile::tempdir().unwrap();
        fs::create_dir_all(scenario.path().join("data/deep")).unwrap();
        for file in ["file", "data/file"] {
            fs::write(scenario.path().join(file), "").unwrap();
        }
        std::os::unix::fs::symlink("data", scenario.path().join("link")).unwrap();
        let file: File = toml::from_str(text).unwrap();
        let mut problems = Vec::new();
        let found = preopens(&file.preopens, scenario.path(), &["/host/session"], &mut problems);
        (found, problems.into_iter().map(|(span, what)| format!("{}: {what}", &text[span])).collect())
    }

    #[test]
    fn preopens_keep_order_names_and_modes() {
        let (found, problems) = read(
            "preopens = [{ from = \"data/deep/\", to = \"a b\" }, { from = \"root\", to = \"/\", mode = \"ro\" }, \
             { from = \"./config/\", to = \".\" }, { from = \"./data//./deep\", to = \"ro\", mode = \"ro\" }]",
        );
        assert_eq!(problems, [""; 0]);
        let list: Vec<_> =
            found.list.iter().map(|preopen| (&preopen.from, preopen.to.as_str(), preopen.read_only)).collect();
        let folder = PreopenSource::Folder("data/deep".into());
        let expected = [
            (&folder, "a b", false),
            (&PreopenSource::Root, "/", true),
            (&PreopenSource::Config, ".", false),
            (&folder, "ro", true),
        ];
        assert_eq!(list, expected);
        assert_eq!(found.folders.keys().collect::<Vec<_>>(), ["data/deep"]);
        let (found, problems) = read("preopens = []");
        assert!(found.list.is_empty() && problems.is_empty());
    }

    #[test]
    fn invalid_preopens_are_reported_with_position() {
        let problem = |entry: &str| {
            let (_, problems) = read(&format!("preopens = [{entry}]"));
            problems.join("\n")
        };
        for (from, what) in [
            ("nothing", "\"nothing\" is not a folder of the scenario; there are `before`, `config`, `data`, `root`"),
            ("dat", "\"dat\" is not a folder of the scenario; did you mean `data`?"),
            ("data/none", "\"data/none\" is not a folder of the scenario; there are `data/deep`"),
            ("data/dep", "\"data/dep\" is not a folder of the scenario; did you mean `data/deep`?"),
            (
                "data/deep/x",
                "\"data/deep/x\" is not a folder of the scenario; `data/deep` has no folders; create one, or",
            ),
            ("./dat/", "\"./dat/\" is not a folder of the scenario; did you mean `data`?"),
            ("file", "\"file\" is a file; put it into a folder of the scenario, and name that"),
            ("data/file", "\"data/file\" is a file; name the folder that it is in"),
            ("link/deep", "\"link/deep\" is a link, or passes through one"),
            ("../x", "\"../x\" has `..`; write the path from the scenario's folder without it"),
            ("data/../data", "\"data/../data\" has `..`"),
            ("/etc", "\"/etc\" begins with `/`; write the path from the scenario's folder, or copy"),
            (".", "\".\" is the scenario's folder itself; write `root`, `config`, `before`, or the name of a folder"),
            ("./", "\"./\" is the scenario's folder itself"),
            ("", "\"\" is empty; write `root`"),
            ("before", "the scenario has no `root/`"),
        ] {
            let told = problem(&format!("{{ from = {from:?}, to = \"/\" }}"));
            assert!(told.starts_with(&format!("{from:?}: {what}")), "{told}");
        }
        assert!(problem("{ from = \"a\\u0000\", to = \"/\" }").contains("contains the character NUL"));
        let root = |to: &str| format!("{{ from = \"root\", to = {to} }}");
        assert!(problem(&root("\"\"")).starts_with("\"\": a preopen needs a name"));
        assert!(problem(&root("\"a\\u0000\"")).contains("NUL"));
        assert!(problem(&root(&format!("{:?}", "x".repeat(MAX_NAME + 1)))).contains("at most 4096 bytes"));
        assert!(
            problem(&format!("{}, {}", root("\"/\""), root("\"/\""))).starts_with("\"/\": \"/\" is already in use")
        );
        assert!(problem(&root("\"/host/session\"")).contains("is already in use"));
        let many: Vec<String> = (0..=MAX_PREOPENS).map(|number| root(&format!("\"{number}\""))).collect();
        assert!(problem(&many.join(", ")).contains("there are 101 preopens, but at most 100"));
    }
}
