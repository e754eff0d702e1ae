use wiggle::GuestMemory;

/// Bytes that one call reads or writes. WASI 0.1 allows a call to read or write less than requested, and the host buffers
/// the bytes in memory that no limit counts.
const MAX_BYTES: u32 = 1 << 20;
/// How many buffers of a list are looked at.
const MAX_BUFFERS: u32 = 1024;
/// The size of an entry of a list: address and length.
const ENTRY_SIZE: u64 = 8;

/// Shortens the first non-empty buffer of a list, the only one that wasmtime uses. The list is in the module's memory, so
/// the length is restored afterwards.
pub(super) struct ShortenedBuffer(Option<(usize, [u8; 4])>);

impl ShortenedBuffer {
    pub(super) fn first_of(memory: &mut GuestMemory<'_>, list: i32, count: i32) -> Self {
        Self(shorten(memory, list.cast_unsigned(), count.cast_unsigned()))
    }

    pub(super) fn restore(self, memory: &mut GuestMemory<'_>) {
        if let (Some((at, length)), GuestMemory::Unshared(bytes)) = (self.0, memory)
            && let Some(original) = bytes.get_mut(at..at + length.len())
        {
            original.copy_from_slice(&length);
        }
    }
}

/// The offset and the value of the length that was replaced. Addresses outside the memory are left to the call to report.
fn shorten(memory: &mut GuestMemory<'_>, list: u32, count: u32) -> Option<(usize, [u8; 4])> {
    let GuestMemory::Unshared(bytes) = memory else { return None };
    for index in 0..u64::from(count.min(MAX_BUFFERS)) {
        let entry = usize::try_from(u64::from(list) + ENTRY_SIZE * index).ok()?;
        let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?));
        let (address, length) = (word(entry)?, word(entry + 4)?);
        if length == 0 {
            continue;
        }
        let at = entry + 4;
        let within = u64::from(address)..u64::from(address) + u64::from(length);
        // A buffer that overlaps its own list stays as it is; the call refuses one outside the memory.
        let overlaps = within.start < at as u64 + 4 && within.end > at as u64;
        if length <= MAX_BYTES || overlaps || within.end > bytes.len() as u64 {
            return None;
        }
        let original = length.to_le_bytes();
        bytes.get_mut(at..at + 4)?.copy_from_slice(&MAX_BYTES.to_le_bytes());
        return Some((at, original));
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
        let large = 3 * MAX_BYTES;
        let mut bytes = memory(&[(64, 0), (64, large), (64, large)], 4 << 20);
        let before = bytes.clone();
        let shortened = ShortenedBuffer::first_of(&mut GuestMemory::Unshared(&mut bytes), 0, 3);
        assert_eq!([0, 1, 2].map(|index| length(&bytes, index)), [0, MAX_BYTES, large]);
        shortened.restore(&mut GuestMemory::Unshared(&mut bytes));
        assert_eq!(bytes, before);
    }

    #[test]
    fn other_lists_do_not_change() {
        let large = 3 * MAX_BYTES;
        for (buffers, count) in [
            (&[(64, MAX_BYTES)][..], 1),
            (&[(0, large)], 1),
            (&[(2 << 20, large)], 1),
            (&[(64, 0)], 1),
            (&[(64, large)], 0),
            (&[(64, 0)], i32::MAX),
        ] {
            let mut bytes = memory(buffers, 4 << 20);
            let before = bytes.clone();
            let shortened = ShortenedBuffer::first_of(&mut GuestMemory::Unshared(&mut bytes), 0, count);
            assert_eq!(bytes, before, "{buffers:?}");
            shortened.restore(&mut GuestMemory::Unshared(&mut bytes));
            assert_eq!(bytes, before, "{buffers:?}");
        }
        let mut bytes = memory(&[], 8);
        ShortenedBuffer::first_of(&mut GuestMemory::Unshared(&mut bytes), -4, 2)
            .restore(&mut GuestMemory::Unshared(&mut []));
    }
}
