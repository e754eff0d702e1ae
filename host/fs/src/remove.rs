use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Removes any tree, even with locked directories, or nested too deeply for paths. Links are removed, not followed. A missing
/// tree counts as removed.
///
/// Uses neither recursion nor a descriptor for each level: a component can nest directories until either is exhausted.
/// Directories two levels down are moved up instead, so that paths stay short.
///
/// # Errors
/// The first entry that could not be removed.
pub fn remove_tree(tree: &Path) -> io::Result<()> {
    let folders = match clear(tree) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        cleared => cleared?,
    };
    let mut moved = 0_u64;
    let mut waiting = folders;
    while let Some(folder) = waiting.pop() {
        for inner in clear(&folder)? {
            let up = loop {
                let up = tree.join(format!(".removed-{moved}"));
                moved += 1;
                // The tree may contain that name.
                if fs::symlink_metadata(&up).is_err() {
                    break up;
                }
            };
            // Moving a folder changes its `..`, which takes permission to write it.
            fs::set_permissions(&inner, fs::Permissions::from_mode(0o700))?;
            fs::rename(&inner, &up)?;
            waiting.push(up);
        }
        fs::remove_dir(&folder)?;
    }
    fs::remove_dir(tree)
}

/// Removes all files from `folder`, and returns the directories in it.
fn clear(folder: &Path) -> io::Result<Vec<PathBuf>> {
    if fs::symlink_metadata(folder)?.permissions().mode() & 0o700 != 0o700 {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    }
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // `file_type` does not follow links.
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(folders)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn locked_directories_are_removed_and_links_are_not_followed() {
        let base = tempfile::tempdir().unwrap();
        let (tree, outside) = (base.path().join("tree"), base.path().join("outside"));
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "stays").unwrap();
        fs::write(tree.join("a/b/file"), "goes").unwrap();
        symlink(&outside, tree.join("a/link")).unwrap();
        for folder in ["a/b", "a"] {
            fs::set_permissions(tree.join(folder), fs::Permissions::from_mode(0o000)).unwrap();
        }
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
        assert!(outside.join("file").exists());
        remove_tree(&tree).unwrap();
    }

    #[test]
    fn directories_nested_too_deeply_for_paths_are_removed() {
        let base = tempfile::tempdir().unwrap();
        let tree = base.path().join("tree");
        fs::create_dir(&tree).unwrap();
        let mut folder = rustix::fs::open(&tree, rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
        for _ in 0..5_000 {
            rustix::fs::mkdirat(&folder, "d", rustix::fs::Mode::RWXU).unwrap();
            folder =
                rustix::fs::openat(&folder, "d", rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
        }
        drop(folder);
        fs::write(tree.join(".removed-0"), "in the way").unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
    }
}
