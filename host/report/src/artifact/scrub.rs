//! Removes secrets from the artifacts of an attempt.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::FileExt,
    },
    path::{Path, PathBuf},
};

use rustix::fs::CWD;

use super::error::ArtifactError;
use host_fs::{is_irregular, open_regular, open_to_write};
use host_model::Redactor;

/// Bytes that are read at a time.
const CHUNK_BYTES: usize = 1 << 20;
/// Replaces each byte of a secret, so that images and dumps stay valid.
const FILL: &[u8] = &[b'*'; 4 << 10];

/// Overwrites the secrets in every file below `folder` by `*`, and replaces those in names by `***`. Sizes stay. Links
/// are not followed; a folder that is not there has no secrets. Nobody else may change it meanwhile.
///
/// # Errors
/// The first file that cannot be read or written; it may hold secrets, and so may those after it.
pub fn scrub(folder: &Path, redactor: &Redactor) -> Result<(), ArtifactError> {
    if redactor.is_empty() || folder.symlink_metadata().is_err() {
        return Ok(());
    }
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let failed = |source| ArtifactError::Scrub { path: folder.clone(), source };
        // Listed before anything in it is renamed.
        let entries: Vec<_> = fs::read_dir(&folder).and_then(Iterator::collect).map_err(failed)?;
        for entry in entries {
            let failed = |source| ArtifactError::Scrub { path: entry.path(), source };
            let path = scrub_name(&entry.path(), redactor).map_err(failed)?;
            let kind = path.symlink_metadata().map_err(failed)?.file_type();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                scrub_file(&path, redactor).map_err(failed)?;
            }
        }
    }
    Ok(())
}

/// Gives `path` a name without secrets, and returns it.
fn scrub_name(path: &Path, redactor: &Redactor) -> io::Result<PathBuf> {
    let Some(name) = path.file_name() else { return Ok(path.to_owned()) };
    let shown = redactor.bytes(name.as_bytes());
    if shown == name.as_bytes() {
        return Ok(path.to_owned());
    }
    let shown = std::ffi::OsString::from_vec(shown.into_owned());
    let mut free = path.with_file_name(&shown);
    let mut number = 1;
    while free.symlink_metadata().is_ok() {
        number += 1;
        let mut numbered = shown.clone();
        numbered.push(format!("-{number}"));
        free = path.with_file_name(numbered);
    }
    fs::rename(path, &free)?;
    Ok(free)
}

fn scrub_file(path: &Path, redactor: &Redactor) -> io::Result<()> {
    // An agent that is not confined may put anything in a file's place.
    let mut file = match open_regular(CWD, path) {
        Err(error) if is_irregular(&error) => return Ok(()),
        opened => opened?.0,
    };
    let mut writable: Option<File> = None;
    let mut piece = Vec::new();
    // The offset of `piece` in the file.
    let mut start = 0_u64;
    loop {
        let before = piece.len();
        let read = file.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut piece)?;
        if read == 0 {
            return Ok(());
        }
        for span in redactor.find(&piece) {
            // Matches that end in the previous bytes were replaced before.
            if span.end <= before {
                continue;
            }
            if writable.is_none() {
                writable = Some(open_to_write(CWD, path)?);
            }
            let Some(writable) = &writable else { continue };
            let mut at = span.start;
            while at < span.end {
                let fill = &FILL[..FILL.len().min(span.end - at)];
                writable.write_all_at(fill, start + at as u64)?;
                at += fill.len();
            }
        }
        // A secret may go on; what was read stays as it was, so that those that overlap are found.
        let done = piece.len().saturating_sub(redactor.longest().saturating_sub(1));
        piece.drain(..done);
        start += done as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const KEY: &str = "sk-live-0123456789abcdefghijklmnopqrstuv";

    #[test]
    fn every_file_and_name_is_scrubbed_and_sizes_stay() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("attempt");
        fs::create_dir_all(folder.join("root/deep")).unwrap();
        let (elsewhere, inside) = (outer.path().join("elsewhere"), folder.join("root/deep/file"));
        fs::write(&elsewhere, KEY).unwrap();
        symlink(&elsewhere, folder.join("link")).unwrap();
        // Binary, and with a secret across the border of two pieces.
        let mut content = vec![0xff_u8; CHUNK_BYTES - 7];
        content.extend_from_slice(KEY.as_bytes());
        content.extend_from_slice(&vec![0; CHUNK_BYTES]);
        content.extend_from_slice(KEY.as_bytes());
        fs::write(&inside, &content).unwrap();
        for name in [KEY.to_owned(), format!("{KEY}{KEY}")] {
            fs::create_dir(folder.join(&name)).unwrap();
            fs::write(folder.join(&name).join("f"), "fine").unwrap();
        }
        let redactor = Redactor::new([KEY.to_owned()]).unwrap();
        scrub(&folder, &redactor).unwrap();
        let scrubbed = fs::read(&inside).unwrap();
        let expected = String::from_utf8_lossy(&content).replace(KEY, &"*".repeat(KEY.len()));
        assert_eq!(String::from_utf8_lossy(&scrubbed), expected);
        assert_eq!(scrubbed.len(), content.len());
        let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names[..2], ["***", "******"]);
        assert_eq!(fs::read_to_string(folder.join("***/f")).unwrap(), "fine");
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), KEY, "links are not followed");
    }

    #[test]
    fn names_that_collide_after_scrubbing_stay_unique() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["alpha-secret", "omega-secret"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let redactor = Redactor::new(["alpha-secret".to_owned(), "omega-secret".to_owned()]).unwrap();
        scrub(folder.path(), &redactor).unwrap();
        let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["***", "***-2"]);
        assert_eq!(fs::read_to_string(folder.path().join("***")).unwrap(), "************");
        scrub(&folder.path().join("none"), &redactor).unwrap();
    }
}
