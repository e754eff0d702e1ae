use console::{Style, StyledObject};

/// Width of the column that holds the word at a line's beginning.
pub(super) const LABEL_WIDTH: usize = 10;

/// The meaning of a word, which decides its color.
#[derive(Clone, Copy)]
pub(super) enum Tone {
    Good,
    Bad,
    /// An infrastructure fault: not to be mistaken for a failed assertion.
    Broken,
    Warn,
    Info,
    Faint,
    Strong,
}

/// Colors, or none.
#[derive(Clone, Copy)]
pub(super) struct Theme {
    pub(super) colored: bool,
}

impl Theme {
    pub(super) fn paint<T>(self, tone: Tone, text: T) -> StyledObject<T> {
        let style = Style::new().force_styling(self.colored);
        match tone {
            Tone::Good => style.green().bold(),
            Tone::Bad => style.red().bold(),
            Tone::Broken => style.magenta().bold(),
            Tone::Warn => style.yellow().bold(),
            Tone::Info => style.cyan().bold(),
            Tone::Faint => style.dim(),
            Tone::Strong => style.bold(),
        }
        .apply_to(text)
    }

    /// The word at a line's beginning, right-aligned, and the space behind it.
    pub(super) fn label(self, tone: Tone, word: &str) -> String {
        format!("{:pad$}{} ", "", self.paint(tone, word), pad = LABEL_WIDTH.saturating_sub(word.chars().count()))
    }

    /// The beginning of a line without a word.
    pub(super) fn no_label(self) -> String {
        " ".repeat(LABEL_WIDTH + 1)
    }

    /// The beginning of a line of foreign text.
    pub(super) fn quote(self) -> String {
        format!("{}{}", self.no_label(), self.paint(Tone::Faint, crate::text::QUOTE))
    }

    /// A line across.
    pub(super) fn rule(self) -> String {
        self.paint(Tone::Faint, "─".repeat(48)).to_string()
    }
}
