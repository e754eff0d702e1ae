//! Tears an attempt down, whatever its outcome. A step that fails, or panics, does not prevent the others.

use std::{path::Path, sync::Arc};

use tokio::{sync::watch, task::block_in_place};

use super::{Attempt, AttemptExecutor, cleanup::RETRY_DELAYS, record};
use crate::runner::{
    bounds::{check_disk, end_sessions},
    executor::{AttemptEvents, StopRequest},
    judge::{Observations, resolve_outcome},
};
use host_model::{AttemptRecord, Outcome, Report, Usage};
use host_wasm::sandbox::{AttemptDirs, Snapshot, Violations};
use host_wasm::unwind::{catch_panic, catch_panic_now, panicked};

impl AttemptExecutor {
    /// Ends the agents of an attempt, saves its artifacts, removes its directories, and returns its record.
    pub(super) async fn tear_down(
        &self,
        mut attempt: Attempt<'_>,
        outcome: Outcome,
        stop: &mut watch::Receiver<StopRequest>,
    ) -> AttemptRecord {
        let events = attempt.events;
        attempt.timings.called();
        let ended = catch_panic(end_sessions(&attempt.sessions, &outcome, stop)).await;
        let (survivors, usage) = match ended.unwrap_or_else(|words| Err(panicked("ending the agents", &words))) {
            // A replayed session was paid for in the run that recorded it.
            Ok(usage) => (None, if attempt.live { usage } else { Usage::default() }),
            Err(fault) => (Some(fault), Usage::default()),
        };
        let disk = attempt.scenario.limits.max_disk;
        let looked = catch_panic(last_disk_check(&attempt.dirs, disk, &attempt.violations)).await;
        let evidence = catch_panic(self.keep_evidence(&attempt, &outcome)).await;
        let broken = [("measuring the disk", looked), ("saving artifacts", evidence)];
        let broken = broken.into_iter().find_map(|(what, done)| Some(panicked(what, &done.err()?)));
        // Also what the component wrote: it may have read what the agent left.
        let unredacted = attempt.cleanup.redact().await.err();
        let (kept, unremoved) = match attempt.cleanup.release(survivors.is_none()).await {
            Ok(kept) => (kept, None),
            Err(fault) => (Some(attempt.dirs.base.clone()), Some(fault)),
        };
        for left in survivors.iter().chain(&unremoved).chain(&unredacted).chain(&broken) {
            events.report(Report::Left { what: left.message.clone() }).await;
        }
        let crowd = attempt.violations.concurrency_exceeded();
        if let Some(crowd) = crowd {
            events.report(Report::Cut { what: format!("the network: {crowd}") }).await;
        }
        if let Some(what) = attempt.violations.lossy_names() {
            events.report(Report::Cut { what }).await;
        }
        let observations = Observations {
            breach: attempt.violations.breached(),
            session: attempt.sessions.fault(),
            left: survivors.or(unremoved).or(unredacted).or(broken),
            denials: report_denials(&attempt.violations, events).await,
            crowd,
        };
        let outcome = resolve_outcome(outcome, observations);
        attempt.timings.finished();
        let artifacts = attempt.folder.exists().then(|| self.artifacts.named(&attempt.folder));
        AttemptRecord { artifacts, kept, usage, ..record(outcome, attempt.began) }
    }

    /// Saves what shows how the attempt came to its outcome.
    async fn keep_evidence(&self, attempt: &Attempt<'_>, outcome: &Outcome) {
        let Attempt { scenario, snapshot, events, sessions, dirs, folder, .. } = attempt;
        if sessions.used() || !matches!(outcome, Outcome::Pass | Outcome::Skip { .. } | Outcome::Cancelled { .. }) {
            self.keep(dirs, snapshot.and_then(Snapshot::before), folder, events).await;
        }
        if let (Some(all), Some(audit)) = (&self.audit, &attempt.audit) {
            match audit.save(folder) {
                Ok(uses) => all.add(scenario, &self.plugins[scenario.plugin.0].digest, uses),
                Err(error) => report_left_out(vec![format!("audit.jsonl was not saved: {error}")], events).await,
            }
        }
    }

    /// Saves what the attempt's directories hold.
    async fn keep(&self, dirs: &AttemptDirs, before: Option<&Path>, folder: &Path, events: &AttemptEvents) {
        let _turn = self.keeping.acquire().await;
        for (from, name) in [(&dirs.root, "root"), (&dirs.config, "config"), (&dirs.folders, "folders")] {
            if is_empty(from) {
                continue;
            }
            let kept = catch_panic_now(|| block_in_place(|| self.artifacts.save_tree(from, &folder.join(name))));
            let left_out = match kept.unwrap_or_else(Err) {
                Ok(left_out) => left_out,
                Err(error) => vec![format!("{name} was not saved: {error}")],
            };
            report_left_out(left_out, events).await;
        }
        if before.is_some() || !is_empty(&dirs.root) {
            let kept = catch_panic_now(|| block_in_place(|| self.artifacts.save_changes(before, &dirs.root, folder)));
            let kept = kept.unwrap_or_else(Err);
            report_left_out(kept.unwrap_or_else(|error| vec![format!("root.diff was not saved: {error}")]), events)
                .await;
        }
    }
}

/// Checks the disk use once nothing of the attempt runs any more; retries when the machine is short of something.
async fn last_disk_check(dirs: &Arc<AttemptDirs>, bound: u64, violations: &Arc<Violations>) {
    let mut waits = RETRY_DELAYS.into_iter();
    while let Err(short) = check_disk(dirs, bound, violations).await {
        match waits.next().filter(|_| short.is_shortage()) {
            Some(wait) => tokio::time::sleep(wait).await,
            None => return violations.breach(short),
        }
    }
}

/// Reports what the component was refused, and returns it.
async fn report_denials(violations: &Violations, events: &AttemptEvents) -> Vec<String> {
    let (mut denials, more) = violations.denials();
    if more > 0 {
        denials.push(if more == 1 { "once more".to_owned() } else { format!("{more} more times") });
    }
    for what in denials.clone() {
        events.report(Report::Denied { what }).await;
    }
    denials
}

async fn report_left_out(left_out: Vec<String>, events: &AttemptEvents) {
    for what in left_out {
        events.report(Report::Cut { what: format!("artifacts: {what}") }).await;
    }
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
}
