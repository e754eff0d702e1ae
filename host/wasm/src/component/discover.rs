//! Finds the files of plugins.

use std::{
    collections::{BTreeMap, HashSet},
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use host_model::shown;

/// A plugin's file as found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginFile {
    /// As given or matched.
    pub path: PathBuf,
    /// Its canonical path, for comparing.
    pub canonical: PathBuf,
    /// Short, on one line and unique: the file's stem, with as many of its directories as necessary.
    pub label: String,
}

/// A named plugin cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// No such file, or not readable.
    #[error("cannot read the plugin `{}`", shown(path))]
    Unreadable {
        /// As given.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A folder was named.
    #[error("the plugin `{}` is a folder; name its files, for example `{}/*.wasm`", shown(path), shown(path))]
    Folder {
        /// As given.
        path: PathBuf,
    },
    /// A pattern matches nothing.
    #[error("`{}` matches no file; build the plugins first, or correct the pattern", pattern.escape_debug())]
    NoMatch {
        /// As given.
        pattern: String,
    },
    /// A pattern cannot be read.
    #[error("`{}` is not a valid pattern: {reason}", pattern.escape_debug())]
    BadPattern {
        /// As given.
        pattern: String,
        /// Why not.
        reason: String,
    },
}

/// Finds the plugins for `names`: paths, or patterns that the shell did not expand. A name that is not UTF-8 is a path. A
/// file that is named twice counts once.
///
/// # Errors
/// Every name without a file, by its index in `names`.
pub fn discover(names: &[impl AsRef<OsStr>], base: &Path) -> Result<Vec<PluginFile>, Vec<(usize, DiscoverError)>> {
    let mut files: Vec<(PathBuf, PathBuf)> = Vec::new();
    let mut seen = HashSet::new();
    let mut problems = Vec::new();
    for (index, name) in names.iter().enumerate() {
        match expand(name.as_ref(), base) {
            Err(problem) => problems.push((index, problem)),
            Ok(paths) => {
                for path in paths {
                    match canonical(&path) {
                        Ok(canonical) => {
                            if seen.insert(canonical.clone()) {
                                files.push((path, canonical));
                            }
                        }
                        Err(problem) => problems.push((index, problem)),
                    }
                }
            }
        }
    }
    if problems.is_empty() { Ok(label(files)) } else { Err(problems) }
}

fn expand(name: &OsStr, base: &Path) -> Result<Vec<PathBuf>, DiscoverError> {
    let path = base.join(name);
    let Some(name) = name.to_str() else { return Ok(vec![path]) };
    // The name of an existing file is literal, even with brackets.
    if !name.contains(['*', '?', '[']) || path.exists() {
        return Ok(vec![path]);
    }
    // The base directory is literal as well.
    let pattern = match base.to_str() {
        Some(base) if !base.is_empty() && Path::new(name).is_relative() => {
            format!("{}/{name}", glob::Pattern::escape(base))
        }
        _ => name.to_owned(),
    };
    let bad = |reason: String| DiscoverError::BadPattern { pattern: name.to_owned(), reason };
    let found: Vec<PathBuf> = glob::glob(&pattern)
        .map_err(|error| bad(error.to_string()))?
        .filter_map(Result::ok)
        .filter(|path| path.is_file())
        .collect();
    if found.is_empty() { Err(DiscoverError::NoMatch { pattern: name.to_owned() }) } else { Ok(found) }
}

fn canonical(path: &Path) -> Result<PathBuf, DiscoverError> {
    let unreadable = |source| DiscoverError::Unreadable { path: path.to_owned(), source };
    let canonical = path.canonicalize().map_err(unreadable)?;
    if canonical.is_dir() {
        return Err(DiscoverError::Folder { path: path.to_owned() });
    }
    Ok(canonical)
}

/// Labels each file by the shortest unique tail of its path. The extension belongs to it only if another file in the
/// directory has the same stem. Canonical paths are all different, so labels are too.
fn label(files: Vec<(PathBuf, PathBuf)>) -> Vec<PluginFile> {
    let mut parts: Vec<Vec<String>> = files.iter().map(|(_, file)| parts_of(file, Path::file_stem)).collect();
    let mut whole = vec![false; files.len()];
    loop {
        let mut uses: BTreeMap<&[String], usize> = BTreeMap::new();
        for own in &parts {
            *uses.entry(own).or_default() += 1;
        }
        let shared: Vec<usize> = (0..files.len()).filter(|index| uses[&*parts[*index]] > 1 && !whole[*index]).collect();
        if shared.is_empty() {
            break;
        }
        for index in shared {
            whole[index] = true;
            parts[index] = parts_of(&files[index].1, Path::file_name);
        }
    }
    let tail = |index: usize, length: usize| -> String {
        parts[index].iter().take(length).rev().cloned().collect::<Vec<_>>().join("/")
    };
    let mut length = vec![1_usize; files.len()];
    loop {
        let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, length) in length.iter().enumerate() {
            groups.entry(tail(index, *length)).or_default().push(index);
        }
        let mut grew = false;
        for index in groups.into_values().filter(|group| group.len() > 1).flatten() {
            if length[index] < parts[index].len() {
                length[index] += 1;
                grew = true;
            }
        }
        if !grew {
            break;
        }
    }
    files
        .into_iter()
        .enumerate()
        .map(|(index, (path, canonical))| PluginFile { path, canonical, label: tail(index, length[index]) })
        .collect()
}

/// The components of an absolute path from its end, the last one by `last`. Different paths have different ones.
fn parts_of(path: &Path, last: fn(&Path) -> Option<&OsStr>) -> Vec<String> {
    let folders = path.components().rev().skip(1).filter_map(|part| match part {
        Component::Normal(name) => Some(name),
        _ => None,
    });
    last(path).into_iter().chain(folders).map(escaped).collect()
}

/// A name on one line, escaped without collisions: bytes that are not UTF-8 become `\x..`.
fn escaped(name: &OsStr) -> String {
    let mut text = String::new();
    for chunk in name.as_bytes().utf8_chunks() {
        text.extend(chunk.valid().escape_debug());
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::{
        collection::{btree_set, vec},
        prelude::{ProptestConfig, Strategy, prop_assert, prop_assert_eq, proptest},
        sample::select,
    };

    use super::*;

    fn labels(names: &[&str]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        discover(&names, folder.path()).unwrap().into_iter().map(|file| file.label).collect()
    }

    #[test]
    fn a_label_is_the_file_stem_if_it_is_unique() {
        assert_eq!(labels(&["a.wasm", "b/c.wasm"]), ["a", "c"]);
        assert_eq!(labels(&["x/a.wasm", "y/a.wasm", "b.wasm"]), ["x/a", "y/a", "b"]);
        assert_eq!(labels(&["a.wasm", "a.component"]), ["a.wasm", "a.component"]);
    }

    #[test]
    fn labels_keep_the_extension_if_stems_collide() {
        let labels = labels(&["a.component", "a.wasm", "a.wasm.wasm", "x/a.wasm"]);
        assert_eq!(labels, ["a.component", "a.wasm", "a.wasm.wasm", "a"]);
    }

    const PIECES: &[&[u8]] =
        &[b"a", b"b", b".", b"wasm", b".wasm", b"\\", b"\xff", b"\xfe", b"xff", b"\n", b"::", "\u{fffd}".as_bytes()];

    /// Absolute paths of names that could be taken for one another.
    fn odd_paths() -> impl Strategy<Value = Vec<PathBuf>> {
        let name = vec(select(PIECES), 1..5).prop_map(|pieces| pieces.concat());
        let name = name.prop_filter("no name", |name| name != b"." && name != b"..");
        let path = vec(name, 1..4).prop_map(|names| {
            let names = names.iter().map(|name| OsStr::from_bytes(name));
            Path::new("/").join(names.collect::<PathBuf>())
        });
        btree_set(path, 1..12).prop_map(|paths| paths.into_iter().collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_two_files_have_one_label_and_none_is_an_absolute_path(paths in odd_paths()) {
            let labelled = |paths: &[PathBuf]| -> BTreeMap<PathBuf, String> {
                let files = label(paths.iter().map(|path| (path.clone(), path.clone())).collect());
                files.into_iter().map(|file| (file.path, file.label)).collect()
            };
            let labels = labelled(&paths);
            let distinct: HashSet<_> = labels.values().collect();
            prop_assert_eq!(distinct.len(), paths.len(), "{:?}", labels);
            prop_assert!(labels.values().all(|label| !label.is_empty() && !label.starts_with('/') && !label.contains('\n')));
            let reversed: Vec<_> = paths.into_iter().rev().collect();
            prop_assert_eq!(labelled(&reversed), labels);
        }
    }

    #[test]
    fn patterns_are_expanded_and_a_file_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.wasm", "a.wasm", "n[1].wasm", "note.txt"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let found = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(ToString::to_string).collect();
            discover(&names, folder.path()).map(|files| files.into_iter().map(|file| file.label).collect::<Vec<_>>())
        };
        assert_eq!(found(&["*.wasm", "a.wasm"]).unwrap(), ["a", "b", "n[1]"]);
        assert_eq!(found(&["n[1].wasm"]).unwrap(), ["n[1]"]);
        let problems = found(&["*.nothing", "missing.wasm", "."]).unwrap_err();
        let texts: Vec<_> = problems.iter().map(|(index, problem)| format!("{index}: {problem}")).collect();
        assert!(texts[0].starts_with("0: `*.nothing` matches no file"), "{texts:?}");
        assert!(texts[1].contains("cannot read the plugin"), "{texts:?}");
        assert!(texts[2].contains("is a folder"), "{texts:?}");
    }

    #[test]
    fn special_characters_of_the_base_directory_are_literal() {
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("[ab]*");
        fs::create_dir(&odd).unwrap();
        fs::write(odd.join("one.wasm"), "").unwrap();
        assert_eq!(discover(&["*.wasm"], &odd).unwrap()[0].label, "one");
    }

    #[test]
    fn a_non_utf8_name_is_a_path() {
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().unwrap();
        let name = OsStr::from_bytes(b"\xff*.wasm");
        fs::write(folder.path().join(name), "").unwrap();
        assert_eq!(discover(&[name], folder.path()).unwrap()[0].path, folder.path().join(name));
        let gone = discover(&[OsStr::from_bytes(b"\xfe\n.wasm")], Path::new("")).unwrap_err();
        assert_eq!(gone[0].1.to_string(), "cannot read the plugin `\u{fffd}\\n.wasm`");
    }
}
