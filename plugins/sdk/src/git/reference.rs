//! References: from `HEAD` to the id of a commit.

use super::{GitError, ObjectId};
use crate::{NotReadable, Tree};

/// Git follows no longer chain of symbolic references either.
const MAX_STEPS: usize = 5;

/// The id that `HEAD` leads to.
pub(super) fn head(tree: &Tree) -> Result<ObjectId, GitError> {
    let mut name = "HEAD".to_owned();
    for _ in 0..MAX_STEPS {
        let path = format!(".git/{name}");
        let text = match tree.text(&path) {
            Ok(text) => text,
            Err(NotReadable::Missing) if name != "HEAD" => {
                return packed(tree, &name)?.ok_or(GitError::Reference(name));
            }
            Err(source) => return Err(GitError::File { path, source }),
        };
        match text.trim().strip_prefix("ref:") {
            Some(next) => name = next.trim().to_owned(),
            None => return ObjectId::from_hex(text.trim()).ok_or(GitError::Reference(name)),
        }
    }
    Err(GitError::Reference(name))
}

fn packed(tree: &Tree, name: &str) -> Result<Option<ObjectId>, GitError> {
    let path = ".git/packed-refs";
    match tree.text(path) {
        Ok(text) => Ok(text.lines().find_map(|line| {
            let (id, listed) = line.split_once(' ')?;
            (listed == name).then(|| ObjectId::from_hex(id))?
        })),
        Err(NotReadable::Missing) => Ok(None),
        Err(source) => Err(GitError::File { path: path.to_owned(), source }),
    }
}
