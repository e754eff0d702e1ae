use std::{
    io,
    path::{Path, PathBuf},
};

/// The place of a path with links resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// Nothing is there, or a link is dangling.
    Missing,
    /// In the folder, or the folder itself.
    Within,
    /// Elsewhere.
    Outside(PathBuf),
}

/// Resolves `path` and compares it with `folder`. Both may be links.
///
/// # Errors
/// One of them cannot be read, or links form a circle.
pub fn locate(path: &Path, folder: &Path) -> io::Result<Location> {
    let leads = match path.canonicalize() {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Location::Missing);
        }
        leads => leads?,
    };
    Ok(if leads.starts_with(folder.canonicalize()?) { Location::Within } else { Location::Outside(leads) })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn links_are_followed_to_their_end() {
        let outer = tempfile::tempdir().unwrap();
        let at = |name: &str| outer.path().canonicalize().unwrap().join(name);
        for name in ["suite/a/root", "suite-b", "outside/deep"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        symlink("../outside", at("suite/out")).unwrap();
        symlink("out/deep", at("suite/through")).unwrap();
        symlink("../suite-b", at("suite/beside")).unwrap();
        symlink(at("suite/a"), at("suite/b")).unwrap();
        symlink("../suite/a/root", at("outside/back")).unwrap();
        symlink("../outside/back", at("suite/there-and-back")).unwrap();
        symlink("nothing", at("suite/none")).unwrap();
        symlink("circle", at("suite/circle")).unwrap();
        symlink("suite", at("named")).unwrap();
        for folder in [at("suite"), at("named")] {
            let found = |name: &str| locate(&folder.join(name), &folder).unwrap();
            for name in [".", "a/root", "b", "b/root", "there-and-back"] {
                assert_eq!(found(name), Location::Within, "{name}");
            }
            for (name, leads) in [("out", "outside"), ("through", "outside/deep"), ("beside", "suite-b")] {
                assert_eq!(found(name), Location::Outside(at(leads)), "{name}");
            }
            for name in ["none", "a/nothing"] {
                assert_eq!(found(name), Location::Missing, "{name}");
            }
        }
        assert!(locate(&at("suite/circle"), &at("suite")).is_err());
    }
}
