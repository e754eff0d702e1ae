use std::{
    collections::{BTreeMap, HashSet},
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
};

use crate::model::shown;

/// A plugin's file as found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginFile {
    /// As given or matched.
    pub path: PathBuf,
    /// Its place on disk, for comparing.
    pub canonical: PathBuf,
    /// Short and unambiguous: the file's stem, with as many of its folders as it takes.
    pub label: String,
}

/// A plugin that was named is not there.
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
    #[error("`{}` is no pattern: {reason}", pattern.escape_debug())]
    BadPattern {
        /// As given.
        pattern: String,
        /// Why not.
        reason: String,
    },
}

/// Finds the plugins that `names` name: paths, or patterns that the shell left alone. A name that is no UTF-8 is
/// a path. A file that is named twice counts once.
///
/// # Errors
/// Every name that leads to no file, by its place in `names`.
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
    // A file whose name has brackets is meant literally.
    if !name.contains(['*', '?', '[']) || path.exists() {
        return Ok(vec![path]);
    }
    // The folder around the suite is meant literally as well.
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

/// Gives each file the shortest tail of its path that no other has. The extension belongs to it only where
/// two files of one folder differ in nothing else.
fn label(files: Vec<(PathBuf, PathBuf)>) -> Vec<PluginFile> {
    let mut stems: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for (_, canonical) in &files {
        *stems.entry(canonical.with_extension("")).or_default() += 1;
    }
    let parts: Vec<Vec<String>> = files
        .iter()
        .map(|(_, canonical)| {
            let stem = canonical.with_extension("");
            let named = if stems[&stem] > 1 { canonical } else { &stem };
            named.iter().rev().map(|part| shown(Path::new(part))).collect()
        })
        .collect();
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

#[cfg(test)]
mod tests {
    use std::fs;

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
    fn a_label_is_the_stem_where_that_is_enough() {
        assert_eq!(labels(&["a.wasm", "b/c.wasm"]), ["a", "c"]);
        assert_eq!(labels(&["x/a.wasm", "y/a.wasm", "b.wasm"]), ["x/a", "y/a", "b"]);
        assert_eq!(labels(&["a.wasm", "a.component"]), ["a.wasm", "a.component"]);
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
    fn a_pattern_is_meant_from_a_folder_whatever_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("[ab]*");
        fs::create_dir(&odd).unwrap();
        fs::write(odd.join("one.wasm"), "").unwrap();
        assert_eq!(discover(&["*.wasm"], &odd).unwrap()[0].label, "one");
    }

    #[test]
    fn a_name_that_is_no_utf8_is_a_path() {
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().unwrap();
        let name = OsStr::from_bytes(b"\xff*.wasm");
        fs::write(folder.path().join(name), "").unwrap();
        assert_eq!(discover(&[name], folder.path()).unwrap()[0].path, folder.path().join(name));
        let gone = discover(&[OsStr::from_bytes(b"\xfe\n.wasm")], Path::new("")).unwrap_err();
        assert_eq!(gone[0].1.to_string(), "cannot read the plugin `\u{fffd}\\n.wasm`");
    }
}
