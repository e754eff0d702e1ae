//! The end of an attempt, whatever came of its call. No step that fails, or panics, keeps another from being taken.

use std::{path::Path, sync::Arc};

use tokio::{sync::watch, task::block_in_place};

use super::{Attempt, AttemptExecutor, record, remains::WAITS};
use crate::runner::{
    bounds::{end_sessions, look_at_disk},
    executor::{Feed, Stop},
    judge::{Beside, settle},
    unwind::{caught, caught_now},
};
use host_model::{AttemptRecord, Fault, FaultClass, Outcome, Report, Usage};
use host_wasm::sandbox::{AttemptDirs, Snapshot, Violations};

impl AttemptExecutor {
    /// Ends an attempt that came to `outcome`: its agents, its artifacts, its directories. Its record.
    pub(super) async fn tear_down(
        &self,
        mut attempt: Attempt<'_>,
        outcome: Outcome,
        stop: &mut watch::Receiver<Stop>,
    ) -> AttemptRecord {
        let feed = attempt.feed;
        attempt.timings.called();
        let ended = caught(end_sessions(&attempt.sessions, &outcome, stop)).await;
        let (survivors, usage) = match ended.unwrap_or_else(|words| Err(panicked("ending the agents", &words))) {
            // What is replayed has been paid for already.
            Ok(usage) => (None, if attempt.live { usage } else { Usage::default() }),
            Err(fault) => (Some(fault), Usage::default()),
        };
        let disk = attempt.scenario.limits.disk;
        let looked = caught(last_look_at_disk(&attempt.dirs, disk, &attempt.violations)).await;
        let evidence = caught(self.keep_evidence(&attempt, &outcome)).await;
        let broken = [("looking at the disk", looked), ("keeping artifacts", evidence)];
        let broken = broken.into_iter().find_map(|(what, done)| Some(panicked(what, &done.err()?)));
        // Whoever has written it: the component may have read what the agent left.
        let unscrubbed = attempt.remains.scrub().await.err();
        let (kept, unremoved) = match attempt.remains.release(survivors.is_none()).await {
            Ok(kept) => (kept, None),
            Err(fault) => (Some(attempt.dirs.base.clone()), Some(fault)),
        };
        for left in survivors.iter().chain(&unremoved).chain(&unscrubbed).chain(&broken) {
            feed.report(Report::Left { what: left.message.clone() }).await;
        }
        let crowd = attempt.violations.concurrency_exceeded();
        if let Some(crowd) = crowd {
            feed.report(Report::Cut { what: format!("the network: {crowd}") }).await;
        }
        if let Some(what) = attempt.violations.lossy_names() {
            feed.report(Report::Cut { what }).await;
        }
        let beside = Beside {
            breach: attempt.violations.breached(),
            session: attempt.sessions.fault(),
            left: survivors.or(unremoved).or(unscrubbed).or(broken),
            denials: tell_denials(&attempt.violations, feed).await,
            crowd,
        };
        let outcome = settle(outcome, beside);
        attempt.timings.finished();
        let artifacts = attempt.folder.exists().then(|| self.place.named(&attempt.folder));
        AttemptRecord { artifacts, kept, usage, ..record(outcome, attempt.began) }
    }

    /// Keeps what tells how the attempt came to its outcome.
    async fn keep_evidence(&self, attempt: &Attempt<'_>, outcome: &Outcome) {
        let Attempt { scenario, snapshot, feed, sessions, dirs, folder, .. } = attempt;
        if sessions.used() || !matches!(outcome, Outcome::Pass | Outcome::Skip { .. } | Outcome::Cancelled { .. }) {
            self.keep(dirs, snapshot.and_then(Snapshot::before), folder, feed).await;
        }
        if let (Some(all), Some(audit)) = (&self.audit, &attempt.audit) {
            match audit.save(folder) {
                Ok(uses) => all.add(scenario, &self.plugins[scenario.plugin.0].digest, uses),
                Err(error) => tell_left_out(vec![format!("audit.jsonl was not kept: {error}")], feed).await,
            }
        }
    }

    /// Keeps what the attempt's directories hold.
    async fn keep(&self, dirs: &AttemptDirs, before: Option<&Path>, folder: &Path, feed: &Feed) {
        let _turn = self.keeping.acquire().await;
        for (from, name) in [(&dirs.root, "root"), (&dirs.config, "config"), (&dirs.folders, "folders")] {
            if is_empty(from) {
                continue;
            }
            let kept = caught_now(|| block_in_place(|| self.place.keep_tree(from, &folder.join(name))));
            let left_out = match kept.unwrap_or_else(Err) {
                Ok(left_out) => left_out,
                Err(error) => vec![format!("{name} was not kept: {error}")],
            };
            tell_left_out(left_out, feed).await;
        }
        if before.is_some() || !is_empty(&dirs.root) {
            let kept = caught_now(|| block_in_place(|| self.place.keep_changes(before, &dirs.root, folder)));
            let kept = kept.unwrap_or_else(Err);
            tell_left_out(kept.unwrap_or_else(|error| vec![format!("root.diff was not kept: {error}")]), feed).await;
        }
    }
}

/// Looks at the disk use when nothing of the attempt runs any more, and waits for what the machine is short of.
async fn last_look_at_disk(dirs: &Arc<AttemptDirs>, bound: u64, violations: &Arc<Violations>) {
    let mut waits = WAITS.into_iter();
    while let Err(short) = look_at_disk(dirs, bound, violations).await {
        match waits.next().filter(|_| short.is_shortage()) {
            Some(wait) => tokio::time::sleep(wait).await,
            None => return violations.breach(short),
        }
    }
}

/// What a panic of the host in the tear-down leaves.
fn panicked(what: &str, words: &str) -> Fault {
    Fault::new(FaultClass::Internal, format!("{what} panicked: {words}; this is a bug of host"))
}

/// Tells what the component was refused.
async fn tell_denials(violations: &Violations, feed: &Feed) -> Vec<String> {
    let (mut denials, more) = violations.denials();
    if more > 0 {
        denials.push(if more == 1 { "once more".to_owned() } else { format!("{more} more times") });
    }
    for what in denials.clone() {
        feed.report(Report::Denied { what }).await;
    }
    denials
}

async fn tell_left_out(left_out: Vec<String>, feed: &Feed) {
    for what in left_out {
        feed.report(Report::Cut { what: format!("artifacts: {what}") }).await;
    }
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
}
