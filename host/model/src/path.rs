use std::path::Path;

/// A path within a message: on one line, whatever the file's name holds.
#[must_use]
pub fn shown(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    use super::*;

    #[test]
    fn a_path_is_one_harmless_line() {
        assert_eq!(shown(Path::new("plugins/é [1].wasm")), "plugins/é [1].wasm");
        assert_eq!(shown(Path::new("a\n::error::b\u{1b}[2J\u{202e}")), "a\\n::error::b\\u{1b}[2J\\u{202e}");
        assert_eq!(shown(Path::new(OsStr::from_bytes(b"a\xff"))), "a\u{fffd}");
    }
}
