//! How GitHub finds the file of an annotation: by its path in the checkout.

use std::path::{Component, Path, PathBuf};

/// The checkout, `$GITHUB_WORKSPACE`, and the folder that the run's paths are relative to.
#[derive(Debug, Default)]
pub(super) struct AnnotationPaths {
    /// As it was given, and where it leads.
    top: Option<(PathBuf, PathBuf)>,
    here: PathBuf,
}

impl AnnotationPaths {
    pub(super) fn new(top: Option<&Path>, here: PathBuf) -> Self {
        let here = here.canonicalize().unwrap_or(here);
        let top = top.map(|top| (here.join(top), top.canonicalize().unwrap_or_else(|_| top.to_owned())));
        Self { top, here }
    }

    /// The path of `file` in the checkout. `None` where it is not in it: GitHub would look for another file of that name.
    /// Without a checkout, paths are left as they are.
    pub(super) fn path(&self, file: &str) -> Option<String> {
        let Some((top_as_given, real_top)) = &self.top else {
            return Some(file.strip_prefix("./").unwrap_or(file).to_owned());
        };
        let path = self.here.join(file);
        // The canonical path comes first: a checkout has no files behind its links.
        let real = path.canonicalize().ok();
        let real = real.as_deref().and_then(|path| path.strip_prefix(real_top).ok()).map(Path::to_owned);
        let written = || {
            let path = without_dots(&path);
            path.strip_prefix(without_dots(top_as_given))
                .or_else(|_| path.strip_prefix(real_top))
                .ok()
                .map(Path::to_owned)
        };
        real.or_else(written).map(|path| path.to_string_lossy().into_owned())
    }
}

/// A path without `.` and `..`, links or not.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn paths_are_from_the_top_of_the_checkout() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().canonicalize().unwrap().join(name);
        for name in ["work/sub/scenarios/a", "work/common/b", "elsewhere"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        let file = |name: &str| fs::write(at(name), "").unwrap();
        file("work/sub/scenarios/a/scenario.toml");
        file("work/common/b/scenario.toml");
        file("elsewhere/x.wasm");
        symlink("work", at("linked")).unwrap();
        symlink("../../common/b", at("work/sub/scenarios/b")).unwrap();
        let path = |top: &str, here: &str, file: &str| AnnotationPaths::new(Some(&at(top)), at(here)).path(file);
        let found = |path: &str| Some(path.to_owned());
        for top in ["work", "linked"] {
            for here in ["work", "linked"] {
                let sub = format!("{here}/sub");
                let own = "scenarios/a/scenario.toml";
                assert_eq!(path(top, &sub, own), found("sub/scenarios/a/scenario.toml"), "{top} {here}");
                assert_eq!(path(top, here, &format!("./sub/{own}")), found("sub/scenarios/a/scenario.toml"));
                let absolute = at(&format!("{here}/sub/{own}"));
                let outside = path(top, "elsewhere", absolute.to_str().unwrap());
                assert_eq!(outside, found("sub/scenarios/a/scenario.toml"), "from outside");
                assert_eq!(path(top, &sub, "gone/../../plugin.wasm"), found("plugin.wasm"), "that is not there");
                assert_eq!(path(top, &sub, "scenarios/b/scenario.toml"), found("common/b/scenario.toml"));
            }
            assert_eq!(path(top, "elsewhere", "x.wasm"), None);
            assert_eq!(path(top, "work", "../elsewhere/x.wasm"), None);
            assert_eq!(path(top, "elsewhere", "gone.wasm"), None);
        }
        assert_eq!(AnnotationPaths::default().path("./a/b"), found("a/b"));
        assert_eq!(AnnotationPaths::default().path("/a/b"), found("/a/b"));
    }
}
