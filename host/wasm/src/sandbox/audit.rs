//! The audit log of an attempt: which grants it used, and which it lacked.

use std::{
    collections::BTreeSet,
    fs, io,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use serde::Serialize;

use host_model::GrantItem;

/// Logged uses of one attempt; a component can make any number of them.
const MAX_LINES: usize = 10_000;
/// Bytes of the logged uses: the path of a request can be long.
const MAX_BYTES: usize = 4 << 20;
/// Distinct grants that are remembered for the proposed policy, per attempt and per scenario.
const MAX_GRANTS: usize = 1_000;
/// The file in an attempt's directory.
const AUDIT_FILE: &str = "audit.jsonl";

/// The uses of one attempt, granted and denied.
pub struct Audit {
    start: Instant,
    uses: Mutex<Uses>,
}

/// The grants that were used, and those that were missing; the first 1,000 of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsedGrants {
    /// Used.
    pub used: BTreeSet<GrantItem>,
    /// Missing.
    pub denied: BTreeSet<GrantItem>,
    /// Uses of further grants.
    pub cut: u64,
}

impl UsedGrants {
    /// Adds the grants of another attempt of the scenario.
    pub fn add(&mut self, other: Self) {
        other.used.into_iter().for_each(|item| self.note(item, true));
        other.denied.into_iter().for_each(|item| self.note(item, false));
        self.cut = self.cut.saturating_add(other.cut);
    }

    fn note(&mut self, item: GrantItem, allowed: bool) {
        let known = if allowed { &mut self.used } else { &mut self.denied };
        if known.len() < MAX_GRANTS || known.contains(&item) {
            known.insert(item);
        } else {
            self.cut = self.cut.saturating_add(1);
        }
    }
}

#[derive(Default)]
struct Uses {
    lines: Vec<String>,
    bytes: usize,
    cut: u64,
    grants: UsedGrants,
}

/// One line of the file.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Line<'a> {
    at_ms: u64,
    #[serde(rename = "use")]
    kind: &'a str,
    what: &'a str,
    allowed: bool,
    /// The grant that allows it, or would.
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<String>,
}

#[derive(Serialize)]
struct Cut {
    cut: u64,
}

impl Default for Audit {
    fn default() -> Self {
        Self { start: Instant::now(), uses: Mutex::default() }
    }
}

impl Audit {
    /// Records a use. `item` is the grant that allows it, or would.
    pub fn note(&self, kind: &str, what: &str, item: Option<&GrantItem>, allowed: bool) {
        let at_ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let line = Line { at_ms, kind, what, allowed, grant: item.map(ToString::to_string) };
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        match serde_json::to_string(&line) {
            Ok(line) if uses.lines.len() < MAX_LINES && uses.bytes + line.len() <= MAX_BYTES => {
                uses.bytes += line.len();
                uses.lines.push(line);
            }
            _ => uses.cut += 1,
        }
        if let Some(item) = item {
            uses.grants.note(item.clone(), allowed);
        }
    }

    /// Writes the log into the attempt's directory; returns the grants.
    ///
    /// # Errors
    /// The file system's.
    pub fn save(&self, folder: &Path) -> io::Result<UsedGrants> {
        let uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text: String = uses.lines.iter().map(|line| format!("{line}\n")).collect();
        if uses.cut > 0 {
            text.push_str(&format!("{}\n", serde_json::to_string(&Cut { cut: uses.cut })?));
        }
        fs::create_dir_all(folder)?;
        fs::write(folder.join(AUDIT_FILE), text)?;
        Ok(uses.grants.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_use_is_a_line_and_excess_uses_are_counted() {
        let audit = Audit::default();
        audit.note("session", "start", Some(&GrantItem::Session), true);
        audit.note("tcp", "listen on 0.0.0.0:1", None, false);
        for _ in 0..MAX_LINES {
            audit.note("env", "A", Some(&GrantItem::Env("A".into())), false);
        }
        let folder = tempfile::tempdir().unwrap();
        let grants = audit.save(&folder.path().join("attempt")).unwrap();
        assert_eq!(grants.used, [GrantItem::Session].into());
        assert_eq!(grants.denied, [GrantItem::Env("A".into())].into());
        let text = fs::read_to_string(folder.path().join("attempt").join(AUDIT_FILE)).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), MAX_LINES + 1);
        assert_eq!(lines[0]["grant"], "session = true");
        assert_eq!((&lines[1]["use"], &lines[1]["allowed"]), (&"tcp".into(), &false.into()));
        assert!(lines[1].get("grant").is_none());
        assert_eq!(lines[MAX_LINES]["cut"], 2);
    }

    #[test]
    fn audit_lines_are_bounded_in_bytes() {
        let audit = Audit::default();
        for _ in 0..1_000 {
            audit.note("http", &"x".repeat(60_000), None, false);
        }
        let folder = tempfile::tempdir().unwrap();
        audit.save(folder.path()).unwrap();
        let text = fs::read_to_string(folder.path().join(AUDIT_FILE)).unwrap();
        assert!(text.len() < MAX_BYTES + 100, "{}", text.len());
        assert_eq!(text.lines().last().unwrap(), format!("{{\"cut\":{}}}", 1_000 - (text.lines().count() - 1)));
    }

    #[test]
    fn remembered_grants_are_bounded_across_attempts() {
        let attempt = |number: usize| {
            let audit = Audit::default();
            for variable in 0..MAX_GRANTS + 3 {
                let item = GrantItem::Env(format!("A{number}_{variable}"));
                audit.note("env", "A", Some(&item), number == 0);
                audit.note("env", "A", Some(&item), number == 0);
            }
            let folder = tempfile::tempdir().unwrap();
            audit.save(folder.path()).unwrap()
        };
        let mut all = attempt(0);
        assert_eq!((all.used.len(), all.denied.len(), all.cut), (MAX_GRANTS, 0, 6));
        all.add(all.clone());
        assert_eq!((all.used.len(), all.denied.len(), all.cut), (MAX_GRANTS, 0, 12));
        all.add(attempt(1));
        all.add(attempt(2));
        assert_eq!((all.used.len(), all.denied.len(), all.cut), (MAX_GRANTS, MAX_GRANTS, 24 + MAX_GRANTS as u64));
    }
}
