//! The reports of a run on the terminal and in its directory, and how signals reach the run.

use std::{
    io,
    path::{Path, PathBuf},
};

use console::Term;
use rustix::stdio;

use super::{
    args::Color,
    log,
    process::{raise_open_files, return_large_blocks},
    signals::{self, Stopping},
    terminal::{self, Data, Stream},
};
use host_core::app::{Error, FinishedRun, Interrupts, ReportContext, RunHooks, as_seen_here};
use host_model::{ReporterKind, Shortage, shown};
use host_report::{
    Background, ColorChoice, Github, GithubFiles, Human, HumanOptions, JsonLines, Junit, LiveLines, LogTail, Reporter,
    Verbosity, visible,
};

pub(super) struct RunReports {
    /// The kinds in place of those that the suite asks for.
    fixed: Option<Vec<ReporterKind>>,
    /// The kinds that were made.
    kinds: Vec<ReporterKind>,
    color: Color,
    verbosity: Verbosity,
    stopping: Stopping,
}

impl RunReports {
    /// Those that the suite and its overrides ask for.
    pub(super) fn of_suite(color: Color, verbosity: Verbosity) -> Self {
        Self { fixed: None, kinds: Vec::new(), color, verbosity, stopping: Stopping::default() }
    }

    pub(super) fn of_kinds(kinds: Vec<ReporterKind>) -> Self {
        Self { fixed: Some(kinds), ..Self::of_suite(Color::Auto, Verbosity::Quiet) }
    }

    /// The kinds that were made.
    pub(super) fn kinds(&self) -> &[ReporterKind] {
        &self.kinds
    }

    /// Adds the report for people; returns its live lines, if it has any.
    fn add_human(&self, reporter: &mut Reporter, log: &LogTail) -> Result<Option<LiveLines>, Error> {
        // stdout belongs to the event stream where that is asked for.
        let is_on_stderr = self.kinds.contains(&ReporterKind::Jsonl);
        let (fd, terminal) =
            if is_on_stderr { (stdio::stderr(), Term::stderr()) } else { (stdio::stdout(), Term::stdout()) };
        let color = match self.color {
            Color::Always => ColorChoice::Always,
            Color::Auto if terminal::is_colored(rustix::termios::isatty(fd)) => ColorChoice::Always,
            Color::Auto | Color::Never => ColorChoice::Never,
        };
        let options = HumanOptions { color, verbosity: self.verbosity };
        let writer = Box::new(Stream(fd));
        let human = match terminal::is_live(fd) {
            true => Human::live(terminal, writer, options),
            false => Human::plain(writer, options),
        };
        let lines = human.live_lines();
        reporter.add("human", Background::new(human, log.clone()).map_err(no_thread)?);
        Ok(lines)
    }
}

impl RunHooks for RunReports {
    fn interrupts(&mut self) -> io::Result<Interrupts> {
        raise_open_files();
        return_large_blocks();
        let signals = signals::signals(&self.stopping)?;
        Ok(Interrupts { signals, stop: self.stopping.stop().clone() })
    }

    fn add_reports(&mut self, reporter: &mut Reporter, context: &ReportContext<'_>) -> Result<(), Error> {
        self.kinds = self.fixed.clone().unwrap_or_else(|| context.kinds.to_vec());
        log::redact(context.secrets);
        let has = |kind| self.kinds.contains(&kind);
        if has(ReporterKind::Junit) {
            let path = context.directory.join("junit.xml");
            reporter.add("junit", Junit::create(&path).map_err(|error| Error::file("cannot write", &path, &error))?);
        }
        if has(ReporterKind::Github) {
            let github = Github::new(Stream(stdio::stdout()), github_files(), context.secrets);
            reporter.add("github", Background::new(github, context.log.clone()).map_err(no_thread)?);
        }
        if has(ReporterKind::Jsonl) {
            let lines = JsonLines::new(Data);
            reporter.add("jsonl", Background::new(lines, context.log.clone()).map_err(no_thread)?);
        }
        if self.kinds.is_empty() || has(ReporterKind::Human) {
            let lines = self.add_human(reporter, context.log)?;
            self.stopping.clears(lines);
        }
        Ok(())
    }
}

fn github_files() -> GithubFiles {
    let named = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    GithubFiles {
        summary: named("GITHUB_STEP_SUMMARY"),
        output: named("GITHUB_OUTPUT"),
        workspace: named("GITHUB_WORKSPACE"),
    }
}

fn no_thread(error: io::Error) -> Error {
    let help = Shortage::of_start(&error).map(|shortage| format!("\nhelp: {}", shortage.help())).unwrap_or_default();
    Error::setup(format!("cannot start a thread for a report: {error}{help}"))
}

/// Prints to stderr what the reports of `kinds` do not show at the end of a run.
pub(super) fn report_end(finished: &FinishedRun, kinds: &[ReporterKind], is_quiet: bool) {
    if let Some(policy) = &finished.proposed_policy {
        terminal::line(format_args!("audit: proposed policy written to {}", shown(policy)));
    }
    if let Some(kept) = finished.kept.as_deref().filter(|_| is_quiet) {
        // The quiet report leaves passed trials out, and their directories with them.
        terminal::line(format_args!("kept: {}", kept.display()));
    }
    show_report_file(kinds, &finished.directory);
    for broken in &finished.broken_reports {
        terminal::error(format_args!("cannot write the report {}: {}", broken.name, broken.error));
    }
}

/// Shows where the report is if no report on stdout is for people. stdout belongs to the reports.
fn show_report_file(kinds: &[ReporterKind], directory: &Path) {
    let shows = |kind: &ReporterKind| matches!(kind, ReporterKind::Human | ReporterKind::Jsonl | ReporterKind::Silent);
    if kinds.is_empty() || kinds.iter().any(shows) {
        return;
    }
    let directory = as_seen_here(directory);
    let file = if kinds.contains(&ReporterKind::Junit) { directory.join("junit.xml") } else { directory };
    terminal::line(format_args!("report: {}", visible(&file.to_string_lossy())));
}
