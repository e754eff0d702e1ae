//! Objects: their ids, and a reader that finds them loose or packed.

use std::fmt;

use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;

use super::{GitError, pack::Pack};
use crate::{NotReadable, Tree};

/// The id of an object: a SHA-1 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId(pub(super) [u8; 20]);

impl ObjectId {
    /// Reads forty hexadecimal digits.
    pub(super) fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 40 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut id = [0; 20];
        for (byte, digits) in id.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(id))
    }

    /// Reads twenty bytes.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Commit,
    Tree,
    Blob,
    Tag,
}

/// One object may not be larger: commits and trees, which alone are read, are far smaller.
pub(super) const MAX_OBJECT: usize = 16 << 20;
/// One reading of a history looks at no more objects.
const MAX_OBJECTS: usize = 20_000;

/// Finds objects in a repository, and counts what it reads.
pub(super) struct Objects<'a> {
    tree: &'a Tree,
    packs: Vec<Pack>,
    read: usize,
}

impl<'a> Objects<'a> {
    pub(super) fn open(tree: &'a Tree) -> Result<Self, GitError> {
        Ok(Self { tree, packs: Pack::open_all(tree)?, read: 0 })
    }

    /// The content of an object that must be of this kind.
    pub(super) fn read(&mut self, id: ObjectId, wanted: Kind) -> Result<Vec<u8>, GitError> {
        let (kind, content) = self.read_any(id)?;
        if kind == wanted { Ok(content) } else { Err(GitError::Broken { id, what: "it has another kind" }) }
    }

    /// The kind and content of an object.
    pub(super) fn read_any(&mut self, id: ObjectId) -> Result<(Kind, Vec<u8>), GitError> {
        self.read += 1;
        if self.read > MAX_OBJECTS {
            return Err(GitError::TooLarge("20,000 objects"));
        }
        if let Some(object) = self.loose(id)? {
            return Ok(object);
        }
        for index in 0..self.packs.len() {
            if let Some(offset) = self.packs[index].find(id) {
                return self.packs[index].object(offset, id);
            }
        }
        Err(GitError::Missing(id))
    }

    fn loose(&self, id: ObjectId) -> Result<Option<(Kind, Vec<u8>)>, GitError> {
        let name = id.to_string();
        let path = format!(".git/objects/{}/{}", &name[..2], &name[2..]);
        let packed = match self.tree.read(&path, MAX_OBJECT as u64) {
            Ok(packed) => packed,
            Err(NotReadable::Missing) => return Ok(None),
            Err(source) => return Err(GitError::File { path, source }),
        };
        let broken = |what| GitError::Broken { id, what };
        let mut content = decompress_to_vec_zlib_with_limit(&packed, MAX_OBJECT)
            .map_err(|_| broken("it cannot be decompressed, or is too large"))?;
        let header_end =
            content.iter().take(32).position(|&byte| byte == 0).ok_or_else(|| broken("it has no header"))?;
        let (kind, size) = str::from_utf8(&content[..header_end])
            .ok()
            .and_then(|header| header.split_once(' '))
            .ok_or_else(|| broken("its header is malformed"))?;
        let kind = match kind {
            "commit" => Kind::Commit,
            "tree" => Kind::Tree,
            "blob" => Kind::Blob,
            "tag" => Kind::Tag,
            _ => return Err(broken("its kind is unknown")),
        };
        let size = size.parse::<usize>().ok();
        content.drain(..=header_end);
        if size == Some(content.len()) { Ok(Some((kind, content))) } else { Err(broken("its size is wrong")) }
    }
}
