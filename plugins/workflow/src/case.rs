//! An item before and after a session, and the checks that several graders share.

use scenario_sdk::{
    Check, Evidence, Failure, NotReadable, Record, Tree, diff,
    front_matter::FrontMatter,
    git::{self, Commit, GitError},
    require,
};

use crate::Item;

/// Folders below `_archive/` in which an item is still found (`_archive/2026/done/<slug>.md`).
const ARCHIVE_DEPTH: usize = 3;

/// One item of the workflow, before and after a session.
pub struct Case {
    slug: &'static str,
    evidence: Evidence,
    in_place: bool,
    archived: Vec<String>,
    unlisted: Option<NotReadable>,
    item: Result<Item, NotReadable>,
}

impl Case {
    /// The item `<slug>.md` in what a session left.
    #[must_use]
    pub fn new(slug: &'static str, evidence: Evidence) -> Self {
        let after = &evidence.after;
        let place = format!("{slug}.md");
        let in_place = after.holds(&place);
        let (archived, unlisted) = match after.find("_archive", &place, ARCHIVE_DEPTH) {
            Ok(archived) => (archived, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        let path = if in_place { place } else { archived.first().cloned().unwrap_or(place) };
        let item = after.text(&path).map(|text| Item::new(path, text));
        Self { slug, evidence, in_place, archived, unlisted, item }
    }

    /// What the session showed.
    #[must_use]
    pub fn session(&self) -> &Record {
        &self.evidence.session
    }

    /// The root as the agent left it.
    #[must_use]
    pub fn root(&self) -> &Tree {
        &self.evidence.after
    }

    /// Whether a path of the root is the item's file: in its place or in the archive.
    #[must_use]
    pub fn is_items_file(&self, path: &str) -> bool {
        let name = format!("{}.md", self.slug);
        path == name || path.strip_prefix("_archive/").is_some_and(|rest| rest.rsplit('/').next() == Some(&name))
    }

    /// The item, in its place or archived; none when it cannot be read.
    #[must_use]
    pub fn item(&self) -> Option<&Item> {
        self.item.as_ref().ok()
    }

    /// Checks the item. Holds when there is none: that it is lost has a clause of its own.
    pub fn with_item(&self, check: impl FnOnce(&Item) -> Check) -> Check {
        self.item().map_or(Ok(()), check)
    }

    /// Holds when the item is one readable file, in its place or archived.
    pub fn found(&self) -> Check {
        let name = format!("{}.md", self.slug);
        if let Some(why) = &self.unlisted {
            return Err(Failure::new(format!("`_archive`, or a folder in it, {why}")));
        }
        if let Err(why) = &self.item {
            let place = self.archived.first().filter(|_| !self.in_place).unwrap_or(&name);
            return Err(Failure::new(format!("the item's file `{place}` {why}")));
        }
        let copies = usize::from(self.in_place) + self.archived.len();
        require(copies == 1, || format!("the item stands in {copies} places: `{name}` and {:?}", self.archived))
    }

    /// Holds when nothing of the item's name is in the archive.
    pub fn not_archived(&self) -> Check {
        require(self.archived.is_empty(), || format!("the item is in the archive: {:?}", self.archived))
    }

    /// Holds when the item's front matter says `wanted` for `key`.
    pub fn field_is(&self, key: &str, wanted: &str) -> Check {
        self.with_item(|item| {
            let value = item.front_matter()?.value(key);
            require(value == wanted, || format!("`{key}` is {}, not `{wanted}`", quoted(value)))
        })
    }

    /// Holds when a field of the item has the value that it had. A front matter that cannot be read any more is left to
    /// [`Case::unchanged_except`].
    pub fn keeps(&self, key: &str) -> Check {
        let before = self.before()?;
        let was = before.front_matter()?.value(key).to_owned();
        self.with_item(|item| {
            let Ok(matter) = item.front_matter() else { return Ok(()) };
            let now = matter.value(key);
            require(now == was, || format!("`{key}` was {} and is {} now", quoted(&was), quoted(now)))
        })
    }

    /// Holds when the item is byte for byte what it was, except for the values of `fields`.
    ///
    /// A field's line is left out of the comparison only if its value differs, so together with [`Case::keeps`] for each
    /// of the fields this means: byte-identical, without exception. Each kind of edit still has a clause of its own.
    pub fn unchanged_except(&self, fields: &[&str]) -> Check {
        let before = self.before()?;
        let after = match &self.item {
            Ok(item) => item,
            Err(why) => return Err(Failure::new(format!("the item's file `{}.md` {why}", self.slug))),
        };
        let mut now = after.text.clone();
        for field in fields {
            now = with_old_line(&before.text, &now, field);
        }
        if now == before.text {
            return Ok(());
        }
        let evidence = diff::unified(&after.path, &before.text, &after.text);
        Err(Failure::new(format!("`{}` was edited", after.path)).with_evidence(evidence))
    }

    /// Holds when the item's status is one of `stages` and the item is not in the archive.
    pub fn not_past(&self, stages: &[&str]) -> Check {
        self.not_archived()?;
        self.with_item(|item| {
            let status = item.front_matter()?.value("status");
            require(stages.contains(&status), || format!("`status` is {}, not one of {stages:?}", quoted(status)))
        })
    }

    /// The commits since the fixture's own, the newest first.
    pub fn commits(&self) -> Result<Vec<Commit>, GitError> {
        let mut commits = git::history(self.root())?;
        commits.retain(|commit| !commit.parents.is_empty());
        Ok(commits)
    }

    fn before(&self) -> Result<Item, Failure> {
        let path = format!("{}.md", self.slug);
        match self.evidence.before.text(&path) {
            Ok(text) => Ok(Item::new(path, text)),
            Err(why) => Err(Failure::new(format!("the fixture is broken: `{path}` {why}"))),
        }
    }
}

/// `after` with the line of a field as it was, if the field's value differs.
fn with_old_line(before: &str, after: &str, field: &str) -> String {
    let (Ok(old), Ok(new)) = (FrontMatter::parse(before), FrontMatter::parse(after)) else {
        return after.to_owned();
    };
    match new.line_of(field) {
        Some(line) if new.value(field) != old.value(field) => {
            let old_line = old.line_of(field).map_or("", |line| &before[line]);
            format!("{}{old_line}{}", &after[..line.start], &after[line.end..])
        }
        _ => after.to_owned(),
    }
}

fn quoted(value: &str) -> String {
    if value.is_empty() { "empty".to_owned() } else { format!("`{value}`") }
}
