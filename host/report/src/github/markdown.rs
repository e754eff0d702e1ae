//! Text of others within Markdown.

/// `text`, which is one harmless line, as one cell of a table: no markup, no HTML, no further cell.
pub(super) fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '~' | '|' | '#' | '!' | '$' => {
                shown.push('\\');
                shown.push(c);
            }
            // Neither a person nor a team is called by a scenario.
            '@' => shown.push_str("&#64;"),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_escaped() {
        assert_eq!(
            escaped("a|b `c` <img src=x> &lt; *d* _e_ [f](g) ~h~ \\| #1 ![i] $j$ @k"),
            "a\\|b \\`c\\` &lt;img src=x&gt; &amp;lt; \\*d\\* \\_e\\_ \\[f\\](g) \\~h\\~ \\\\\\| \\#1 \\!\\[i\\] \\$j\\$ &#64;k"
        );
    }
}
