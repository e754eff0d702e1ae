//! Packs: many objects in one file, some of them as deltas against others.

use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;

use super::{
    GitError, ObjectId,
    object::{Kind, MAX_OBJECT},
};
use crate::{NotReadable, Tree};

const FOLDER: &str = ".git/objects/pack";
/// All packs and their indexes together; they are held in memory.
const MAX_PACKS: u64 = 64 << 20;
/// Git itself makes no longer chain of deltas.
const MAX_CHAIN: usize = 4095;
const INDEX_MAGIC: [u8; 8] = [0xff, b't', b'O', b'c', 0, 0, 0, 2];
const INDEX_HEADER: usize = 8 + 256 * 4;

/// A pack with its index, both in memory.
pub(super) struct Pack {
    path: String,
    data: Vec<u8>,
    index: Vec<u8>,
    count: usize,
}

/// What the header of a packed object says it is.
enum Entry {
    Whole(Kind),
    OffsetDelta(usize),
    IdDelta(ObjectId),
}

impl Pack {
    /// Every pack of a repository that has an index.
    pub(super) fn open_all(tree: &Tree) -> Result<Vec<Self>, GitError> {
        let names = match tree.names(FOLDER) {
            Ok(names) => names,
            Err(NotReadable::Missing) => return Ok(Vec::new()),
            Err(source) => return Err(GitError::File { path: FOLDER.to_owned(), source }),
        };
        let stems: Vec<_> = names.iter().filter_map(|name| name.strip_suffix(".idx")).collect();
        let mut left = MAX_PACKS;
        stems.into_iter().map(|stem| Self::open(tree, stem, &mut left)).collect()
    }

    fn open(tree: &Tree, stem: &str, left: &mut u64) -> Result<Self, GitError> {
        let mut read = |suffix: &str| {
            let path = format!("{FOLDER}/{stem}.{suffix}");
            match tree.read(&path, *left) {
                Ok(content) => {
                    *left -= content.len() as u64;
                    Ok(content)
                }
                Err(NotReadable::TooLarge(_)) => Err(GitError::TooLarge("64 MiB of packs")),
                Err(source) => Err(GitError::File { path, source }),
            }
        };
        let mut pack =
            Self { path: format!("{FOLDER}/{stem}.pack"), data: read("pack")?, index: read("idx")?, count: 0 };
        if !pack.index.starts_with(&INDEX_MAGIC) {
            return Err(pack.broken("its index is not of version 2"));
        }
        if !pack.data.starts_with(b"PACK\0\0\0\x02") {
            return Err(pack.broken("it is not of version 2"));
        }
        pack.count =
            be_u32(&pack.index, INDEX_HEADER - 4).ok_or_else(|| pack.broken("its index is cut short"))? as usize;
        // Ids, checksums and offsets take 28 bytes an object.
        if pack.index.len() < pack.count.saturating_mul(28).saturating_add(INDEX_HEADER) {
            return Err(pack.broken("its index is cut short"));
        }
        Ok(pack)
    }

    /// Where in the pack an object stands.
    pub(super) fn find(&self, id: ObjectId) -> Option<usize> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low.midpoint(high);
            match self.id_at(middle)?.cmp(&id) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return self.offset_at(middle),
            }
        }
        None
    }

    /// The object at an offset, its deltas applied.
    pub(super) fn object(&self, offset: usize, id: ObjectId) -> Result<(Kind, Vec<u8>), GitError> {
        let broken = |what| GitError::Broken { id, what };
        let mut deltas = Vec::new();
        let mut at = offset;
        let (kind, mut content) = loop {
            let (entry, content_at) = self.entry(at).ok_or_else(|| broken("its header in the pack is malformed"))?;
            let packed = self.data.get(content_at..).unwrap_or_default();
            let content = decompress_to_vec_zlib_with_limit(packed, MAX_OBJECT)
                .map_err(|_| broken("it cannot be decompressed, or is too large"))?;
            let base = match entry {
                Entry::Whole(kind) => break (kind, content),
                Entry::OffsetDelta(back) => at.checked_sub(back).filter(|_| back > 0),
                // Packs on disk are complete: the base stands in the same one.
                Entry::IdDelta(base) => self.find(base),
            };
            at = base.ok_or_else(|| broken("its delta has no base"))?;
            deltas.push(content);
            // A delta against an id can lead back to itself.
            let held: usize = deltas.iter().map(Vec::len).sum();
            if deltas.len() > MAX_CHAIN || held > MAX_OBJECT {
                return Err(broken("its chain of deltas is too long"));
            }
        };
        while let Some(delta) = deltas.pop() {
            content = apply_delta(&content, &delta).ok_or_else(|| broken("its delta does not apply"))?;
        }
        Ok((kind, content))
    }

    fn entry(&self, offset: usize) -> Option<(Entry, usize)> {
        let mut at = offset;
        let mut byte = *self.data.get(at)?;
        let kind = (byte >> 4) & 7;
        // The size is said again by the compressed stream.
        while byte & 0x80 != 0 {
            at += 1;
            byte = *self.data.get(at)?;
        }
        at += 1;
        Some(match kind {
            1 => (Entry::Whole(Kind::Commit), at),
            2 => (Entry::Whole(Kind::Tree), at),
            3 => (Entry::Whole(Kind::Blob), at),
            4 => (Entry::Whole(Kind::Tag), at),
            6 => {
                let mut byte = *self.data.get(at)?;
                let mut back = usize::from(byte & 0x7f);
                while byte & 0x80 != 0 {
                    at += 1;
                    byte = *self.data.get(at)?;
                    back = back.checked_add(1)?.checked_mul(128)? | usize::from(byte & 0x7f);
                }
                (Entry::OffsetDelta(back), at + 1)
            }
            7 => (Entry::IdDelta(ObjectId::from_bytes(self.data.get(at..at + 20)?)?), at + 20),
            _ => return None,
        })
    }

    fn id_at(&self, position: usize) -> Option<ObjectId> {
        let start = INDEX_HEADER + position * 20;
        ObjectId::from_bytes(self.index.get(start..start + 20)?)
    }

    fn offset_at(&self, position: usize) -> Option<usize> {
        let offset = be_u32(&self.index, INDEX_HEADER + self.count * 24 + position * 4)?;
        // The top bit means a pack over 2 GiB, which is far over the bound.
        (offset >> 31 == 0).then_some(offset as usize)
    }

    fn broken(&self, what: &'static str) -> GitError {
        GitError::Pack { path: self.path.clone(), what }
    }
}

fn be_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Applies a delta: copies from the base and inserted bytes, in turn.
fn apply_delta(base: &[u8], delta: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = delta.iter().copied();
    let base_size = delta_size(&mut bytes)?;
    let size = delta_size(&mut bytes)?;
    if base_size != base.len() || size > MAX_OBJECT {
        return None;
    }
    let mut content = Vec::new();
    while let Some(command) = bytes.next() {
        if command & 0x80 != 0 {
            let mut field = |bits: std::ops::Range<u8>| -> Option<usize> {
                let mut value = 0;
                for (place, bit) in bits.enumerate() {
                    if command & (1 << bit) != 0 {
                        value |= usize::from(bytes.next()?) << (8 * place);
                    }
                }
                Some(value)
            };
            let start = field(0..4)?;
            let length = match field(4..7)? {
                0 => 0x10000,
                length => length,
            };
            content.extend_from_slice(base.get(start..start.checked_add(length)?)?);
        } else if command != 0 {
            let inserted = content.len() + usize::from(command);
            content.extend(bytes.by_ref().take(usize::from(command)));
            if content.len() != inserted {
                return None;
            }
        } else {
            return None;
        }
        if content.len() > size {
            return None;
        }
    }
    (content.len() == size).then_some(content)
}

fn delta_size(bytes: &mut impl Iterator<Item = u8>) -> Option<usize> {
    let mut size: usize = 0;
    for place in 0..4 {
        let byte = bytes.next()?;
        size |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(size);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::apply_delta;

    #[test]
    fn a_delta_copies_and_inserts() {
        // Base of 5 bytes, result of 6: copy 3 from 1, insert "xyz".
        assert_eq!(apply_delta(b"abcde", b"\x05\x06\x91\x01\x03\x03xyz").unwrap(), b"bcdxyz");
    }

    #[test]
    fn a_delta_that_reaches_too_far_does_not_apply() {
        for delta in [
            &b""[..],
            b"\x05",
            b"\x04\x01\x01a",
            b"\x05\x06\x91\x04\x03",
            b"\x05\x02\x05ab",
            b"\x05\x01\x00",
            b"\x05\x01\x02ab",
            b"\x05\xff\xff\xff\xff\xff\x01",
            b"\x05\x01\xff",
        ] {
            assert_eq!(apply_delta(b"abcde", delta), None, "{delta:x?}");
        }
    }
}
