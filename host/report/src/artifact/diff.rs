//! The changes to a tree as a patch that git applies, with notes on what a patch cannot contain.

use std::{
    fmt::Write,
    fs,
    io::{self, Read},
    iter::Peekable,
    os::unix::ffi::OsStrExt,
    path::Path,
    time::{Duration, Instant},
    vec,
};

use similar::TextDiff;

use super::{
    error::ArtifactError,
    listing::{Entry, Kind, Listing},
    quoted::quoted,
    run_directory::write_atomic,
    tree::{CopyLimits, open_file},
};
use host_fs::open_beneath;

/// How much of the changes is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiffLimits {
    /// Bytes of a file that is shown line by line; larger ones are only named.
    pub file_bytes: u64,
    /// Lines of such a file.
    pub file_lines: usize,
    /// Time for one file; beyond it the difference is a coarser one.
    pub file_time: Duration,
    /// Bytes of all differences; what comes after them is only counted.
    pub bytes: usize,
    /// Time for all files; what comes after it is only counted.
    pub time: Duration,
}

impl Default for DiffLimits {
    fn default() -> Self {
        Self {
            file_bytes: 1 << 20,
            file_lines: 20_000,
            file_time: Duration::from_millis(300),
            bytes: 4 << 20,
            time: Duration::from_secs(5),
        }
    }
}

/// Writes the changes of a tree into the folder `to`: `root.tree` lists `after`, and `root.diff` shows how it differs
/// from `before`, or from nothing. `.git` folders are left out. No link is followed, nothing can make it wait, and names
/// cannot forge lines.
///
/// Returns notices about everything that was left out.
///
/// # Errors
/// A directory cannot be read at all, or `to` cannot be written.
pub fn keep_changes(
    before: Option<&Path>,
    after: &Path,
    to: &Path,
    limits: DiffLimits,
) -> Result<Vec<String>, ArtifactError> {
    let entries = CopyLimits::default();
    let after = Listing::of(after, entries)?;
    let before = before.map(|before| Listing::of(before, entries)).transpose()?;
    fs::create_dir_all(to).map_err(|source| ArtifactError::CreateDirectory { path: to.into(), source })?;
    write_atomic(&to.join("root.tree"), after.to_text().as_bytes())?;
    let mut left_out: Vec<String> = after.left_out.iter().map(|what| format!("root.tree: {what}")).collect();
    let (text, cut) = difference(before.as_ref(), &after, limits);
    write_atomic(&to.join("root.diff"), text.as_bytes())?;
    left_out.extend(cut.map(|what| format!("root.diff: {what}")));
    Ok(left_out)
}

/// The difference, and what was cut of it.
fn difference(before: Option<&Listing>, after: &Listing, limits: DiffLimits) -> (String, Option<String>) {
    let mut diff = Diff { before, after, limits, until: Instant::now() + limits.time, text: String::new() };
    let mut uncompared = 0_usize;
    for (old, new) in Pairs::of(before, after) {
        if diff.text.len() > limits.bytes || Instant::now() >= diff.until {
            uncompared += 1;
        } else {
            diff.pair(old, new);
        }
    }
    let mut text = diff.text;
    let cut = (uncompared > 0).then(|| {
        format!(
            "{uncompared} more entries were not compared: the limits are {} bytes and {:?}",
            limits.bytes, limits.time
        )
    });
    if let Some(cut) = &cut {
        text.push_str(&format!("[cut: {cut}]\n"));
    }
    (text, cut)
}

/// Entries of both listings by path, each with the one of the same path.
struct Pairs<'a> {
    old: Peekable<vec::IntoIter<&'a Entry>>,
    new: Peekable<vec::IntoIter<&'a Entry>>,
}

impl<'a> Pairs<'a> {
    fn of(old: Option<&'a Listing>, new: &'a Listing) -> Self {
        let entries = |listing: &'a Listing| listing.entries.iter().collect::<Vec<_>>().into_iter().peekable();
        Self { old: old.map_or_else(|| Vec::new().into_iter().peekable(), entries), new: entries(new) }
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (Option<&'a Entry>, Option<&'a Entry>);

    fn next(&mut self) -> Option<Self::Item> {
        let first = match (self.old.peek(), self.new.peek()) {
            (None, None) => return None,
            (Some(old), Some(new)) => old.path.cmp(&new.path),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
        };
        Some((self.old.next_if(|_| first.is_le()), self.new.next_if(|_| first.is_ge())))
    }
}

struct Diff<'a> {
    before: Option<&'a Listing>,
    after: &'a Listing,
    limits: DiffLimits,
    until: Instant,
    text: String,
}

/// The content of an entry, as far as a patch can contain it.
enum Content {
    Text(String),
    /// Why there is no text: `binary`, `large`, or that it cannot be read.
    None(&'static str),
}

impl Diff<'_> {
    fn pair(&mut self, old: Option<&Entry>, new: Option<&Entry>) {
        match (old.filter(|old| !is_git(old)), new.filter(|new| !is_git(new))) {
            (Some(old), Some(new)) if same_kind(old, new) => self.changed(old, new),
            (Some(old), Some(new)) => {
                self.gone(old);
                self.came(new);
            }
            // An unlisted file may exist anyway.
            (Some(old), None) if self.after.is_complete() || !self.after.may_hold(&old.path) => self.gone(old),
            (None, Some(new))
                if self.before.is_none_or(|before| before.is_complete() || !before.may_hold(&new.path)) =>
            {
                self.came(new);
            }
            _ => {}
        }
    }

    fn came(&mut self, new: &Entry) {
        match self.content(Some(self.after), new) {
            Content::Text(text) => {
                self.header(new, &format!("new file mode {}\n", mode(new)));
                self.hunks("/dev/null", &name("b/", new), "", &text);
            }
            Content::None(what) => self.note(&format!("new: {}, {what}", describe(new)), new),
        }
    }

    fn gone(&mut self, old: &Entry) {
        match self.content(self.before, old) {
            Content::Text(text) => {
                self.header(old, &format!("deleted file mode {}\n", mode(old)));
                self.hunks(&name("a/", old), "/dev/null", &text, "");
            }
            Content::None(what) => self.note(&format!("deleted: {}, {what}", describe(old)), old),
        }
    }

    fn changed(&mut self, old: &Entry, new: &Entry) {
        let modes = (old.permissions != new.permissions && !matches!(new.kind, Kind::Link(_)))
            .then(|| format!("old mode {}\nnew mode {}\n", mode(old), mode(new)));
        if !matches!(new.kind, Kind::File | Kind::Link(_)) {
            if let Some(modes) = modes {
                self.note(&format!("changed: {}", modes.trim_end().replace('\n', ", ")), new);
            }
            return;
        }
        match (self.content(self.before, old), self.content(Some(self.after), new)) {
            (Content::Text(before), Content::Text(after)) => {
                if before != after || modes.is_some() {
                    self.header(new, modes.as_deref().unwrap_or_default());
                    self.hunks(&name("a/", old), &name("b/", new), &before, &after);
                }
            }
            (Content::None(what), _) | (_, Content::None(what)) => {
                if let Some(modes) = modes {
                    self.header(new, &modes);
                }
                let equal = match (&old.kind, &new.kind) {
                    (Kind::Link(old), Kind::Link(new)) => Ok(old == new),
                    _ => self.equal(old, new),
                };
                match equal {
                    Ok(true) => {}
                    Ok(false) => self.note(&format!("changed: {} bytes -> {} bytes, {what}", old.size, new.size), new),
                    // It may be the same, and mostly is.
                    Err(why) => self.note(&format!("not compared: {} bytes, {why}", new.size), new),
                }
            }
        }
    }

    fn header(&mut self, entry: &Entry, modes: &str) {
        let (a, b) = (name("a/", entry), name("b/", entry));
        // Writing into a text does not fail.
        let _ = write!(self.text, "diff --git {a} {b}\n{modes}");
    }

    /// A line of its own, which git skips.
    fn note(&mut self, what: &str, entry: &Entry) {
        let _ = writeln!(self.text, "# {}: {what}", name("", entry));
    }

    fn hunks(&mut self, old_name: &str, new_name: &str, old: &str, new: &str) {
        let (old, new): (Vec<&str>, Vec<&str>) =
            (old.split_inclusive('\n').collect(), new.split_inclusive('\n').collect());
        let deadline = (Instant::now() + self.limits.file_time).min(self.until);
        let diff = TextDiff::configure().deadline(deadline).newline_terminated(true).diff_slices(&old, &new);
        let _ = write!(self.text, "{}", diff.unified_diff().header(old_name, new_name));
    }

    fn content(&self, listing: Option<&Listing>, entry: &Entry) -> Content {
        match &entry.kind {
            Kind::Link(target) => match String::from_utf8(target.clone()) {
                Ok(target) => Content::Text(target),
                Err(_) => Content::None("its target is not UTF-8"),
            },
            Kind::File if entry.size > self.limits.file_bytes => Content::None("large"),
            Kind::File => match read(listing, entry, self.limits.file_bytes) {
                Err(_) => Content::None("cannot be read"),
                Ok(bytes) if bytes.contains(&0) => Content::None("binary"),
                Ok(bytes) => match String::from_utf8(bytes) {
                    Ok(text) if text.split_inclusive('\n').count() > self.limits.file_lines => Content::None("large"),
                    Ok(text) => Content::Text(text),
                    Err(_) => Content::None("binary"),
                },
            },
            Kind::Folder => Content::None("a folder"),
            Kind::Other(kind) => Content::None(kind),
        }
    }

    /// Compares two files that are too large, or no text, to be shown.
    fn equal(&self, old: &Entry, new: &Entry) -> Result<bool, String> {
        if old.size != new.size {
            return Ok(false);
        }
        let (mut old, mut new) = (open(self.before, old)?, open(Some(self.after), new)?);
        let (mut ours, mut theirs) = (vec![0; 64 << 10], vec![0; 64 << 10]);
        loop {
            if Instant::now() >= self.until {
                return Err("the time limit was reached".into());
            }
            let (a, b) = (fill(&mut old, &mut ours), fill(&mut new, &mut theirs));
            let (a, b) = (a.map_err(|error| error.to_string())?, b.map_err(|error| error.to_string())?);
            if ours[..a] != theirs[..b] {
                return Ok(false);
            }
            if a == 0 {
                return Ok(true);
            }
        }
    }
}

/// A repository's own folder says the same in another way.
fn is_git(entry: &Entry) -> bool {
    entry.kind == Kind::Folder && entry.path.file_name().is_some_and(|name| name == ".git")
}

fn same_kind(old: &Entry, new: &Entry) -> bool {
    match (&old.kind, &new.kind) {
        (Kind::Link(_), Kind::Link(_)) => true,
        (old, new) => old == new,
    }
}

fn describe(entry: &Entry) -> String {
    match entry.kind {
        Kind::File => format!("mode {}, {} bytes", mode(entry), entry.size),
        _ => format!("mode {}", mode(entry)),
    }
}

/// As git writes it: the kind, then the permissions.
fn mode(entry: &Entry) -> String {
    let kind = match entry.kind {
        Kind::File => "10",
        Kind::Folder => "04",
        Kind::Link(_) => return "120000".into(),
        Kind::Other(_) => "00",
    };
    format!("{kind}{:04o}", entry.permissions)
}

fn name(prefix: &str, entry: &Entry) -> String {
    quoted(prefix, entry.path.as_os_str().as_bytes())
}

fn open(listing: Option<&Listing>, entry: &Entry) -> Result<fs::File, String> {
    let (Some(listing), Some(name)) = (listing, entry.path.file_name()) else { return Err("is missing".into()) };
    let folder = entry.path.parent().unwrap_or(Path::new(""));
    let directory = open_beneath(&listing.root, folder).map_err(|error| error.to_string())?;
    open_file(&directory, name).map(|(file, _)| file)
}

fn read(listing: Option<&Listing>, entry: &Entry, bound: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    open(listing, entry)?.take(bound).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut fs::File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests;
