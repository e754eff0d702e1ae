use wiggle::GuestMemory;

/// Bytes that one call reads or writes. WASI 0.1 lets a call read or write less than it is asked to, and the host holds
/// what is read or written in memory that no limit counts.
const PIECE: u32 = 1 << 20;
/// Buffers of a list that are looked at.
const MOST: u32 = 1024;
/// Bytes of a buffer's address and length in a list.
const ENTRY: u64 = 8;

/// The first buffer of a list that is not empty, which is all that wasmtime looks at, no longer than the host takes at
/// once. The list is the module's: it gets back what it held.
pub(super) struct Shortened(Option<(usize, [u8; 4])>);

impl Shortened {
    pub(super) fn first_of(memory: &mut GuestMemory<'_>, list: i32, count: i32) -> Self {
        Self(shorten(memory, list.cast_unsigned(), count.cast_unsigned()))
    }

    pub(super) fn restore(self, memory: &mut GuestMemory<'_>) {
        if let (Some((at, length)), GuestMemory::Unshared(bytes)) = (self.0, memory)
            && let Some(held) = bytes.get_mut(at..at + length.len())
        {
            held.copy_from_slice(&length);
        }
    }
}

/// Where a length was, and what it was. Addresses that are not in the memory are for the call to find.
fn shorten(memory: &mut GuestMemory<'_>, list: u32, count: u32) -> Option<(usize, [u8; 4])> {
    let GuestMemory::Unshared(bytes) = memory else { return None };
    for index in 0..u64::from(count.min(MOST)) {
        let entry = usize::try_from(u64::from(list) + ENTRY * index).ok()?;
        let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?));
        let (address, length) = (word(entry)?, word(entry + 4)?);
        if length == 0 {
            continue;
        }
        let at = entry + 4;
        let within = u64::from(address)..u64::from(address) + u64::from(length);
        // A buffer that overlaps its own list gets what the list held; one outside of the memory is refused as it is.
        let overlaps = within.start < at as u64 + 4 && within.end > at as u64;
        if length <= PIECE || overlaps || within.end > bytes.len() as u64 {
            return None;
        }
        let held = length.to_le_bytes();
        bytes.get_mut(at..at + 4)?.copy_from_slice(&PIECE.to_le_bytes());
        return Some((at, held));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list of buffers at the beginning of a memory.
    fn memory(buffers: &[(u32, u32)], size: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> =
            buffers.iter().flat_map(|(at, length)| [at.to_le_bytes(), length.to_le_bytes()].concat()).collect();
        bytes.resize(size, 0);
        bytes
    }

    fn length(bytes: &[u8], index: usize) -> u32 {
        u32::from_le_bytes(bytes[8 * index + 4..8 * index + 8].try_into().unwrap())
    }

    #[test]
    fn a_large_buffer_is_shortened_and_its_length_restored() {
        let large = 3 * PIECE;
        let mut bytes = memory(&[(64, 0), (64, large), (64, large)], 4 << 20);
        let before = bytes.clone();
        let shortened = Shortened::first_of(&mut GuestMemory::Unshared(&mut bytes), 0, 3);
        assert_eq!([0, 1, 2].map(|index| length(&bytes, index)), [0, PIECE, large]);
        shortened.restore(&mut GuestMemory::Unshared(&mut bytes));
        assert_eq!(bytes, before);
    }

    #[test]
    fn other_lists_stay_as_they_are() {
        let large = 3 * PIECE;
        for (buffers, count) in [
            (&[(64, PIECE)][..], 1),
            (&[(0, large)], 1),
            (&[(2 << 20, large)], 1),
            (&[(64, 0)], 1),
            (&[(64, large)], 0),
            (&[(64, 0)], i32::MAX),
        ] {
            let mut bytes = memory(buffers, 4 << 20);
            let before = bytes.clone();
            let shortened = Shortened::first_of(&mut GuestMemory::Unshared(&mut bytes), 0, count);
            assert_eq!(bytes, before, "{buffers:?}");
            shortened.restore(&mut GuestMemory::Unshared(&mut bytes));
            assert_eq!(bytes, before, "{buffers:?}");
        }
        let mut bytes = memory(&[], 8);
        Shortened::first_of(&mut GuestMemory::Unshared(&mut bytes), -4, 2).restore(&mut GuestMemory::Unshared(&mut []));
    }
}
