//! The messages of the engine's errors, bounded: a core dump lists every global of a component, which can be millions.

use std::fmt::{self, Display, Write};

use wasmtime::WasmCoreDump;

/// Bytes of one cause.
const MAX_CAUSE_BYTES: usize = 64 << 10;

/// The messages of the error and its causes, the outermost first, without the contents of a core dump.
#[must_use]
pub fn causes(error: &wasmtime::Error) -> Vec<String> {
    let dump = error.downcast_ref::<WasmCoreDump>().map(bounded);
    let causes = error.chain().map(bounded);
    causes.filter(|cause| Some(cause) != dump.as_ref()).collect()
}

fn bounded(shown: &(impl Display + ?Sized)) -> String {
    let mut text = Bounded(String::new());
    if write!(text, "{shown}").is_err() {
        text.0.push_str(" … (cut)");
    }
    text.0
}

/// Accepts a bounded number of bytes; its error then stops the formatting.
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let remaining = MAX_CAUSE_BYTES - self.0.len();
        self.0.push_str(&text[..text.floor_char_boundary(remaining)]);
        if text.len() <= remaining { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endless_messages_are_cut() {
        struct Endless;
        impl Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("é global\n")?;
                }
            }
        }
        let text = bounded(&Endless);
        assert!(text.len() < MAX_CAUSE_BYTES + 20 && text.ends_with(" … (cut)"), "{}", text.len());
        assert_eq!(bounded("short"), "short");
    }

    #[test]
    fn causes_are_listed_from_the_outermost() {
        assert_eq!(causes(&wasmtime::Error::msg("inner").context("outer")), ["outer", "inner"]);
    }
}
