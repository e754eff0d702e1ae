use std::{
    io,
    path::{Path, PathBuf},
};

/// Where a path leads, links followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: nothing is there, or a link leads to nothing.
    Nowhere,
    /// Into the folder, or to the folder itself.
    Within,
    /// Somewhere else.
    Outside(PathBuf),
}

/// Where `path` leads, seen from `folder`. Both may be links.
///
/// # Errors
/// One of them cannot be looked at, or a link leads in a circle.
pub fn place(path: &Path, folder: &Path) -> io::Result<Place> {
    let leads = match path.canonicalize() {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Place::Nowhere);
        }
        leads => leads?,
    };
    Ok(if leads.starts_with(folder.canonicalize()?) { Place::Within } else { Place::Outside(leads) })
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
            let place = |name: &str| place(&folder.join(name), &folder).unwrap();
            for name in [".", "a/root", "b", "b/root", "there-and-back"] {
                assert_eq!(place(name), Place::Within, "{name}");
            }
            for (name, leads) in [("out", "outside"), ("through", "outside/deep"), ("beside", "suite-b")] {
                assert_eq!(place(name), Place::Outside(at(leads)), "{name}");
            }
            for name in ["none", "a/nothing"] {
                assert_eq!(place(name), Place::Nowhere, "{name}");
            }
        }
        assert!(place(&at("suite/circle"), &at("suite")).is_err());
    }
}
