//! What an error of the engine says, bounded: a core dump lists every global of a component, which can be millions.

use std::fmt::{self, Display, Write};

use wasmtime::WasmCoreDump;

/// Bytes of one cause.
const MAX_CAUSE_BYTES: usize = 64 << 10;

/// What the error and its causes say, the outermost first, without the list of what a core dump holds.
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

/// Takes so much and no more; an error ends what is being formatted.
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
    fn what_never_ends_is_cut() {
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
    fn causes_are_told_from_the_outermost_on() {
        assert_eq!(causes(&wasmtime::Error::msg("inner").context("outer")), ["outer", "inner"]);
    }
}
