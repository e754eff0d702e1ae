//! One work item as it stands in its file.

use scenario_sdk::{
    Failure,
    front_matter::{BrokenFrontMatter, FrontMatter},
    markdown::{self, Section},
};

/// A work item: the text of its file, and what the file's front matter and headings say.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its file, from the root.
    pub path: String,
    /// The whole file.
    pub text: String,
    matter: Result<FrontMatter, BrokenFrontMatter>,
}

/// A recorded round of feedback: `- Cycle N: VERDICT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle {
    /// The number that it was given.
    pub number: u32,
    /// The rest of the line.
    pub verdict: String,
}

impl Cycle {
    /// Whether the round ended with a rejection.
    #[must_use]
    pub fn is_rejection(&self) -> bool {
        self.begins_with(&["reject"])
    }

    /// Whether the round ended with a pass.
    #[must_use]
    pub fn is_pass(&self) -> bool {
        self.begins_with(&["pass", "approve", "accept"])
    }

    fn begins_with(&self, words: &[&str]) -> bool {
        let verdict = self.verdict.trim_start_matches(['*', '_', '`', ' ']).to_lowercase();
        words.iter().any(|word| verdict.starts_with(word))
    }

    fn parse(line: &str) -> Option<Self> {
        let (number, verdict) = line.trim().strip_prefix("- Cycle ")?.split_once(':')?;
        Some(Self { number: number.trim().parse().ok()?, verdict: verdict.trim().to_owned() })
    }
}

impl Item {
    /// The item in the file `path` with this text.
    #[must_use]
    pub fn new(path: String, text: String) -> Self {
        let matter = FrontMatter::parse(&text);
        Self { path, text, matter }
    }

    /// Its front matter, or why there is none that can be read.
    pub fn front_matter(&self) -> Result<&FrontMatter, Failure> {
        self.matter
            .as_ref()
            .map_err(|error| Failure::new(format!("the front matter of `{}` cannot be read: {error}", self.path)))
    }

    /// What stands below the front matter.
    #[must_use]
    pub fn body(&self) -> &str {
        match &self.matter {
            Ok(matter) => &self.text[matter.body_start()..],
            Err(_) => &self.text,
        }
    }

    /// The reports of a stage: the sections under `## Stage Report: STAGE`, in order.
    #[must_use]
    pub fn reports(&self, stage: &str) -> Vec<Section<'_>> {
        markdown::sections(self.body()).into_iter().filter(|section| reports_on(section, stage)).collect()
    }

    /// The sections under `### Feedback Cycles`.
    #[must_use]
    pub fn cycle_sections(&self) -> Vec<Section<'_>> {
        markdown::sections(self.body())
            .into_iter()
            .filter(|section| section.title.eq_ignore_ascii_case("Feedback Cycles"))
            .collect()
    }

    /// The rounds that the cycle sections record, in the order of the file.
    #[must_use]
    pub fn cycles(&self) -> Vec<Cycle> {
        self.cycle_sections().iter().flat_map(Section::lines).filter_map(Cycle::parse).collect()
    }

    /// Whether one line of the body is exactly `line`.
    #[must_use]
    pub fn has_line(&self, line: &str) -> bool {
        self.body().lines().any(|found| found.trim_end() == line)
    }
}

fn reports_on(section: &Section<'_>, stage: &str) -> bool {
    let Some(rest) = section.title.strip_prefix("Stage Report:") else { return false };
    // "implementation, round 2" is a report of `implementation`.
    let named = rest.trim_start().split(|c: char| !(c.is_alphanumeric() || c == '-')).next();
    section.level == 2 && named.is_some_and(|named| named.eq_ignore_ascii_case(stage))
}
