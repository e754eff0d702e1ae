//! A string that is being parsed.

#[derive(Debug, Default)]
pub(super) struct TextBuffer {
    pub(super) bytes: Vec<u8>,
    /// The length of the whole string.
    pub(super) length: u64,
    pub(super) max_bytes: usize,
    /// The first half of a surrogate pair.
    high: Option<u16>,
}

impl TextBuffer {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, ..Self::default() }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.high.take().is_some() {
            self.append("\u{fffd}".as_bytes());
        }
        self.append(bytes);
    }

    fn append(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        let room = self.max_bytes.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Appends the character of `\uXXXX`. Half of a pair waits for the other half, and becomes U+FFFD if that is
    /// missing.
    pub(super) fn push_unit(&mut self, unit: u16) {
        let mut utf8 = [0; 4];
        match (unit, self.high) {
            (0xd800..=0xdbff, _) => {
                self.push(&[]);
                self.high = Some(unit);
            }
            (0xdc00..=0xdfff, Some(high)) => {
                self.high = None;
                let code = 0x10000 + (u32::from(high - 0xd800) << 10) + u32::from(unit - 0xdc00);
                let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                self.append(character.encode_utf8(&mut utf8).as_bytes());
            }
            (unit, _) => {
                let character = char::from_u32(unit.into()).unwrap_or(char::REPLACEMENT_CHARACTER);
                self.push(character.encode_utf8(&mut utf8).as_bytes());
            }
        }
    }

    /// Lowers the limit to `max_bytes`.
    pub(super) fn shorten(&mut self, max_bytes: usize) {
        if max_bytes < self.max_bytes {
            self.max_bytes = max_bytes;
            self.bytes.truncate(max_bytes);
            self.bytes.shrink_to_fit();
        }
    }
}
