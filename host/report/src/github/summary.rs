//! The step's summary: a table for each lane, what failed first.

use super::{counts::Counts, inline, markdown::escaped, masks::Masks};
use crate::{junit::detail::brief, verdict_words::UNFINISHED};
use host_model::{LaneName, Verdict};

/// Findings in one row.
const MAX_FINDINGS: usize = 5;
/// Bytes of one line in a cell, or of a remark: the log has the whole.
const MAX_LINE: usize = 500;
/// The head of each table.
const HEAD: &str = "| Verdict | Scenario | Time | Details |\n| --- | --- | ---: | --- |\n";
const RATES_HEAD: &str = "| Scenario | Passed (95 % confidence interval) |\n| --- | --- |\n";
/// Room for the line that counts the rows left out.
const LEFT_OUT_BYTES: usize = 80;

/// Which rows come first, and stay where not all fit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Canary,
    Bad,
    /// Passed, and should be looked at all the same.
    Alert,
    NotRun,
    Good,
}

struct Row {
    rank: Rank,
    lane: LaneName,
    text: String,
}

/// The summary in the making.
#[derive(Default)]
pub(super) struct Summary {
    rows: Vec<Row>,
    remarks: Vec<String>,
    rates: Vec<String>,
}

impl Summary {
    /// Something of the run as a whole, as one harmless line.
    pub(super) fn remark(&mut self, text: &str) {
        self.remarks.push(format!("> ⚠️ {}\n", escaped(&shortened(text))));
    }

    /// How often repetitions passed; both texts are harmless lines.
    pub(super) fn rate(&mut self, name: &str, texts: &str) {
        self.rates.push(format!("| {} | {} |\n", escaped(name), escaped(texts)));
    }

    /// A judged trial, with the time that it took, if it started, and its attempts.
    pub(super) fn row(
        &mut self,
        lane: &LaneName,
        scenario: &str,
        canary: bool,
        (time_ms, attempts): (Option<u64>, u32),
        verdict: &Verdict,
    ) {
        let passed = if verdict.is_failure() { Rank::Bad } else { Rank::Alert };
        let (rank, sign) = match verdict {
            Verdict::Pass => (Rank::Good, "✅"),
            Verdict::Flaky { .. } => (passed, "🔁"),
            Verdict::Fail { .. } => (Rank::Bad, "❌"),
            Verdict::Xfail { .. } => (Rank::Good, "☑️"),
            Verdict::Xpass { .. } => (passed, "❗"),
            Verdict::Fault(_) => (Rank::Bad, "💥"),
            Verdict::Skip { .. } => (Rank::NotRun, "⏭️"),
            Verdict::Blocked { .. } => (Rank::NotRun, "🚧"),
            Verdict::Cancelled { .. } => (Rank::NotRun, "🛑"),
        };
        let tries = if attempts > 1 { format!(" after {attempts} attempts") } else { String::new() };
        let texts =
            brief(verdict, MAX_FINDINGS).iter().map(|line| escaped(&shortened(line))).collect::<Vec<_>>().join("<br>");
        let time = time_ms.map_or_else(String::new, seconds);
        let word = format!("{sign} {}{tries}", verdict.word());
        self.add(rank, lane, scenario, canary, [&word, &time, &texts]);
    }

    /// A trial that never got a verdict.
    pub(super) fn unfinished(&mut self, lane: &LaneName, scenario: &str, canary: bool) {
        let word = format!("❔ {UNFINISHED}");
        self.add(Rank::Bad, lane, scenario, canary, [&word, "", "the run was cut short"]);
    }

    /// The Markdown, of at most `room` bytes; empty where not even the counts fit.
    pub(super) fn render(&self, counts: &Counts, room: usize, masks: &Masks) -> String {
        let mut text = format!("## host: {}\n", counts.total());
        for remark in &self.remarks {
            text.push_str(&format!("\n{remark}"));
        }
        if text.len() > room {
            return String::new();
        }
        text.push_str(&self.rate_table((room - text.len()) / 4));
        // First the head of each lane, as far as they fit; then the rows, the worst ones of all lanes first.
        let mut room = room - text.len();
        let mut tables: Vec<(&LaneName, String, Vec<&str>, usize)> = Vec::new();
        for (lane, words) in counts.lanes() {
            let name = escaped(&inline(&masks.hide(&lane.0)));
            let head = format!("\n### Lane {name}: {words}\n\n{HEAD}");
            let Some(rest) = room.checked_sub(head.len() + LEFT_OUT_BYTES) else { break };
            room = rest;
            tables.push((lane, head, Vec::new(), 0));
        }
        let mut rows: Vec<&Row> = self.rows.iter().collect();
        rows.sort_by_key(|row| row.rank);
        for row in rows {
            let Some((_, _, shown, left_out)) = tables.iter_mut().find(|(lane, ..)| **lane == row.lane) else {
                continue;
            };
            match room.checked_sub(row.text.len()) {
                Some(rest) => {
                    room = rest;
                    shown.push(&row.text);
                }
                None => *left_out += 1,
            }
        }
        for (_, head, shown, left_out) in tables {
            text.push_str(&head);
            text.extend(shown);
            if left_out > 0 {
                text.push_str(&format!("\n… and {left_out} more\n"));
            }
        }
        text
    }

    /// At most `room` bytes of pass rates.
    fn rate_table(&self, room: usize) -> String {
        let head = format!("\n### Pass rates\n\n{RATES_HEAD}");
        if self.rates.is_empty() || head.len() + LEFT_OUT_BYTES > room {
            return String::new();
        }
        let mut table = head;
        for (at, row) in self.rates.iter().enumerate() {
            if table.len() + row.len() + LEFT_OUT_BYTES > room {
                table.push_str(&format!("\n… and {} more\n", self.rates.len() - at));
                break;
            }
            table.push_str(row);
        }
        table
    }

    fn add(&mut self, rank: Rank, lane: &LaneName, scenario: &str, canary: bool, [word, time, texts]: [&str; 3]) {
        let (rank, mark) = if canary { (Rank::Canary, " (canary)") } else { (rank, "") };
        let text = format!("| {word} | {}{mark} | {time} | {texts} |\n", escaped(&inline(scenario)));
        self.rows.push(Row { rank, lane: lane.clone(), text });
    }
}

/// A line of at most [`MAX_LINE`] bytes, and a mark where something was cut.
fn shortened(line: &str) -> String {
    if line.len() <= MAX_LINE {
        return line.to_owned();
    }
    format!("{} …", &line[..line.floor_char_boundary(MAX_LINE)])
}

/// `1.21s`.
pub(super) fn seconds(ms: u64) -> String {
    let hundredths = ms.saturating_add(5) / 10;
    format!("{}.{:02}s", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_stays_readable_whatever_a_grader_writes() {
        let mut summary = Summary::default();
        let finding =
            |n: usize| host_model::Finding { code: format!("c{n}"), message: "é".repeat(100_000), evidence: None };
        let verdict = Verdict::Fail { findings: (0..200).map(finding).collect(), note: None };
        summary.row(&LaneName("a".into()), "s", false, (Some(5), 1), &verdict);
        summary.remark(&"x".repeat(100_000));
        let text = summary.render(&Counts::default(), 1 << 20, &Masks::new(&[]));
        assert!(text.lines().all(|line| line.len() < 4_000), "{} bytes", text.len());
        let row = &summary.rows[0].text;
        assert!(row.contains("c4: ") && !row.contains("c5: ") && row.contains("195 more findings"), "{row}");
    }

    #[test]
    fn omitted_rows_are_counted() {
        let (mut summary, mut counts) = (Summary::default(), Counts::default());
        summary.remark("of the run");
        for lane in ["a", "b", "c"].map(|lane| LaneName(lane.into())) {
            for at in 0..5 {
                counts.add(&lane, "pass");
                summary.row(&lane, &format!("s{at}"), false, (Some(5), 1), &Verdict::Pass);
            }
        }
        let masks = Masks::new(&[]);
        for room in 0..1500 {
            let text = summary.render(&counts, room, &masks);
            assert!(text.len() <= room, "{} of {room}", text.len());
            let tables = text.matches("### Lane").count();
            let left_out: usize = text
                .lines()
                .filter_map(|line| line.strip_prefix("… and ")?.strip_suffix(" more")?.parse::<usize>().ok())
                .sum();
            assert_eq!(text.matches("✅").count() + left_out, 5 * tables, "{text}");
        }
        assert_eq!(summary.render(&counts, 1500, &masks).matches("✅").count(), 15);
    }
}
