//! Just enough Markdown: headings and the sections below them. What stands in a code fence is no heading and no bullet.

/// A heading and what stands below it, down to the next heading of the same or a higher level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    /// How many `#` the heading has.
    pub level: usize,
    /// The heading's text.
    pub title: &'a str,
    /// What stands below it, deeper headings included.
    pub body: &'a str,
}

impl<'a> Section<'a> {
    /// The sections inside this one.
    #[must_use]
    pub fn sections(&self) -> Vec<Section<'a>> {
        sections(self.body)
    }

    /// The lines of its body outside code fences.
    pub fn lines(&self) -> impl Iterator<Item = &'a str> {
        plain_lines(self.body)
    }
}

/// Every section of a text, in order; a section inside another one is listed too.
#[must_use]
pub fn sections(text: &str) -> Vec<Section<'_>> {
    let headings: Vec<_> =
        plain_lines_at(text).filter_map(|(start, line)| Some((start, line, heading(line)?))).collect();
    headings
        .iter()
        .enumerate()
        .map(|(index, &(start, line, (level, title)))| {
            let end = headings[index + 1..]
                .iter()
                .find_map(|&(next, _, (next_level, _))| (next_level <= level).then_some(next))
                .unwrap_or(text.len());
            let body = text.get(start + line.len()..end).unwrap_or_default();
            Section { level, title, body: body.strip_prefix('\n').unwrap_or(body) }
        })
        .collect()
}

/// The lines of a text outside code fences, without their line ends.
pub fn plain_lines(text: &str) -> impl Iterator<Item = &str> {
    plain_lines_at(text).map(|(_, line)| line.trim_end_matches('\r'))
}

fn heading(line: &str) -> Option<(usize, &str)> {
    let line = line.trim_end();
    let indent = line.len() - line.trim_start_matches(' ').len();
    let rest = line.trim_start_matches(' ');
    let title = rest.trim_start_matches('#');
    let level = rest.len() - title.len();
    let is_heading = indent <= 3 && (1..=6).contains(&level) && (title.is_empty() || title.starts_with([' ', '\t']));
    is_heading.then(|| (level, title.trim().trim_end_matches('#').trim_end()))
}

fn plain_lines_at(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    let mut fence: Option<(char, usize)> = None;
    text.split_inclusive('\n').filter_map(move |line| {
        let start = at;
        at += line.len();
        let line = line.trim_end_matches('\n');
        let marks = line.trim_start();
        let mark = marks.chars().next().filter(|c| matches!(c, '`' | '~'));
        let count = mark.map_or(0, |mark| marks.chars().take_while(|&c| c == mark).count());
        match (fence, mark) {
            (Some((open, length)), Some(mark)) if mark == open && count >= length && closes(marks, mark) => {
                fence = None;
                None
            }
            (Some(_), _) => None,
            (None, Some(mark)) if count >= 3 => {
                fence = Some((mark, count));
                None
            }
            (None, _) => Some((start, line)),
        }
    })
}

fn closes(line: &str, mark: char) -> bool {
    line.trim_end().chars().all(|c| c == mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_reaches_to_the_next_heading_of_its_level() {
        let text = "intro\n## A\none\n### Inner\ntwo\n## B ##\nthree";
        let all = sections(text);
        let titles: Vec<_> = all.iter().map(|section| (section.level, section.title)).collect();
        assert_eq!(titles, [(2, "A"), (3, "Inner"), (2, "B")]);
        assert_eq!(all[0].body, "one\n### Inner\ntwo\n");
        assert_eq!(all[0].sections()[0].body, "two\n");
        assert_eq!(all[2].body, "three");
    }

    #[test]
    fn a_code_fence_hides_headings_and_lines() {
        let text = "## A\n```md\n## Not\n- DONE: no\n``\n```\nyes\n~~~\n# open to the end";
        let all = sections(text);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].lines().collect::<Vec<_>>(), ["yes"]);
    }

    #[test]
    fn odd_texts_are_no_panic() {
        for text in ["", "#", "####### seven", "#no space", "# a\r\nb\r\n", "\u{feff}# x", "```", "é\n# ü\né"] {
            let _ = sections(text);
        }
        assert_eq!(sections("# a\r\nb\r\n")[0].title, "a");
        assert_eq!(sections("# a\r\nb\r\n")[0].lines().collect::<Vec<_>>(), ["b"]);
    }
}
