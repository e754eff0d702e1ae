//! Commits, and which files each of them changed.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use super::{
    GitError, ObjectId,
    object::{Kind, Objects},
    reference,
};
use crate::Tree;

/// A commit that can be reached from `HEAD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its id.
    pub id: ObjectId,
    /// Its parents; none for the first commit of a history, two or more for a merge.
    pub parents: Vec<ObjectId>,
    /// The first line of its message.
    pub subject: String,
    /// The files that it added, changed or deleted against its parent, or against every one of them if it has several.
    /// A first commit added all its files. A file moved is one deleted and one added.
    pub changed: BTreeSet<String>,
}

/// Files and folders of a tree may not lie deeper.
const MAX_DEPTH: usize = 64;
const MAX_COMMITS: usize = 2_000;

/// The commits that can be reached from `HEAD` in the repository of a tree, the newest first.
pub fn history(tree: &Tree) -> Result<Vec<Commit>, GitError> {
    let mut objects = Objects::open(tree)?;
    let head = reference::head(tree)?;
    let mut commits = Vec::new();
    let mut seen = HashSet::from([head]);
    let mut waiting = VecDeque::from([head]);
    while let Some(id) = waiting.pop_front() {
        if commits.len() >= MAX_COMMITS {
            return Err(GitError::TooLarge("2,000 commits"));
        }
        let raw = RawCommit::read(&mut objects, id)?;
        let mut changed: Option<BTreeSet<String>> = None;
        for &parent in &raw.parents {
            let parent_tree = RawCommit::read(&mut objects, parent)?.tree;
            let against_parent = changes(&mut objects, Some(parent_tree), raw.tree)?;
            changed = Some(match changed {
                Some(changed) => changed.intersection(&against_parent).cloned().collect(),
                None => against_parent,
            });
            if seen.insert(parent) {
                waiting.push_back(parent);
            }
        }
        let changed = match changed {
            Some(changed) => changed,
            None => changes(&mut objects, None, raw.tree)?,
        };
        commits.push(Commit { id, parents: raw.parents, subject: raw.subject, changed });
    }
    Ok(commits)
}

struct RawCommit {
    tree: ObjectId,
    parents: Vec<ObjectId>,
    subject: String,
}

impl RawCommit {
    fn read(objects: &mut Objects<'_>, id: ObjectId) -> Result<Self, GitError> {
        let content = objects.read(id, Kind::Commit)?;
        let content = String::from_utf8_lossy(&content);
        let (header, message) = content.split_once("\n\n").unwrap_or((&content, ""));
        let ids = |key: &str| -> Result<Vec<ObjectId>, GitError> {
            header
                .lines()
                .filter_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
                .map(|hex| ObjectId::from_hex(hex).ok_or(GitError::Broken { id, what: "it names a malformed id" }))
                .collect()
        };
        let parents = ids("parent")?;
        match ids("tree")?[..] {
            [tree] => Ok(Self { tree, parents, subject: message.lines().next().unwrap_or_default().to_owned() }),
            _ => Err(GitError::Broken { id, what: "it does not name one tree" }),
        }
    }
}

/// A folder's entries: mode and id by name.
type Folder = BTreeMap<String, (String, ObjectId)>;

const FOLDER_MODE: &str = "40000";

/// The paths that differ between two trees.
fn changes(objects: &mut Objects<'_>, before: Option<ObjectId>, after: ObjectId) -> Result<BTreeSet<String>, GitError> {
    let mut changed = BTreeSet::new();
    // (path with a trailing `/`, depth, tree before, tree after)
    let mut waiting = vec![(String::new(), 0, before, Some(after))];
    while let Some((prefix, depth, before, after)) = waiting.pop() {
        if depth > MAX_DEPTH {
            return Err(GitError::TooLarge("64 folders below one another"));
        }
        if before == after {
            continue;
        }
        let before = before.map(|id| folder(objects, id)).transpose()?.unwrap_or_default();
        let after = after.map(|id| folder(objects, id)).transpose()?.unwrap_or_default();
        for name in before.keys().chain(after.keys().filter(|name| !before.contains_key(*name))) {
            let (old, new) = (before.get(name), after.get(name));
            if old == new {
                continue;
            }
            let path = format!("{prefix}{name}");
            let [old_folder, new_folder] =
                [old, new].map(|entry| entry.and_then(|(mode, id)| (mode == FOLDER_MODE).then_some(*id)));
            if old_folder.is_some() || new_folder.is_some() {
                waiting.push((format!("{path}/"), depth + 1, old_folder, new_folder));
            }
            let is_file = |entry: Option<&(String, ObjectId)>| entry.is_some_and(|(mode, _)| mode != FOLDER_MODE);
            if is_file(old) || is_file(new) {
                changed.insert(path);
            }
        }
    }
    Ok(changed)
}

fn folder(objects: &mut Objects<'_>, id: ObjectId) -> Result<Folder, GitError> {
    let content = objects.read(id, Kind::Tree)?;
    let malformed = || GitError::Broken { id, what: "it is a malformed tree" };
    let mut entries = Folder::new();
    let mut rest = content.as_slice();
    while !rest.is_empty() {
        let name_end = rest.iter().position(|&byte| byte == 0).ok_or_else(malformed)?;
        let header = String::from_utf8_lossy(&rest[..name_end]);
        let (mode, name) = header.split_once(' ').ok_or_else(malformed)?;
        let entry = rest.get(name_end + 1..name_end + 21).and_then(ObjectId::from_bytes).ok_or_else(malformed)?;
        entries.insert(name.to_owned(), (mode.to_owned(), entry));
        rest = &rest[name_end + 21..];
    }
    Ok(entries)
}
