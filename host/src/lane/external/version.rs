//! Asks an agent's program for its version.

use std::{ffi::OsString, time::Duration};

use semver::{Version, VersionReq};
use tokio::io::AsyncReadExt;

use super::{
    super::{
        HostProgram,
        process::{AgentCommand, AgentExit, AgentProcess},
        scripted::new_session_id,
    },
    confined, environment,
    program::{self, Found},
};
use crate::{
    clock::timeout,
    model::{AgentSettings, Confinement},
};

/// A program that takes longer to tell its version is stuck.
const PATIENCE: Duration = Duration::from_secs(20);
/// How much of its answer is looked at.
const ANSWER: u64 = 16 << 10;

/// A program and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentVersion {
    /// What is started.
    pub program: std::path::PathBuf,
    /// What it says.
    pub version: Version,
}

/// Why nothing is known of a program's version, or why it will not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionProblem {
    /// There is no such program.
    #[error("{0}")]
    NotFound(String),
    /// It gave no version.
    #[error("{program} --version {what}")]
    NoAnswer {
        /// The program.
        program: String,
        /// What it did instead.
        what: String,
    },
    /// The version is not one that the lane asks for.
    #[error("{program} has the version {version}, but the lane asks for `{requirement}`")]
    NotMet {
        /// The program.
        program: String,
        /// What it has.
        version: Version,
        /// What is asked for.
        requirement: String,
    },
}

/// Runs the agent's program with `--version`, for at most 20 s, with nothing in its environment but a `PATH` and folders
/// that are removed afterwards, confined as the lane's agents are, and compares what it says with what the lane asks for.
///
/// # Errors
/// There is no such program, it tells no version, or one that will not do.
pub async fn version(
    settings: &AgentSettings,
    host: HostProgram,
    confinement: &Confinement,
) -> Result<AgentVersion, VersionProblem> {
    let name = super::program(settings.kind).and_then(super::Program::name);
    let found = program::find(name, settings).map_err(VersionProblem::NotFound)?;
    let confinement = confined::to(confinement, settings, &found);
    let Found { executable, before: mut args } = found;
    // The script, where the program is its interpreter.
    let shown = args.first().map_or_else(|| executable.display().to_string(), |it| it.to_string_lossy().into_owned());
    args.push("--version".into());
    let no_answer = |what: String| VersionProblem::NoAnswer { program: shown.clone(), what };
    let told = ask(settings, &host, executable.clone(), args, confinement).await.map_err(no_answer)?;
    let version = version_in(&told).ok_or_else(|| no_answer(format!("tells no version: `{}`", told.trim())))?;
    match settings.version.as_deref() {
        Some(requirement) if !VersionReq::parse(requirement).is_ok_and(|it| it.matches(&version)) => {
            Err(VersionProblem::NotMet { program: shown, version, requirement: requirement.to_owned() })
        }
        _ => Ok(AgentVersion { program: executable, version }),
    }
}

/// The same, for who only wants to start it.
pub(super) async fn meets(
    settings: &AgentSettings,
    host: HostProgram,
    confinement: &Confinement,
) -> Result<(), String> {
    version(settings, host, confinement).await.map(drop).map_err(|problem| problem.to_string())
}

async fn ask(
    settings: &AgentSettings,
    host: &HostProgram,
    program: std::path::PathBuf,
    args: Vec<OsString>,
    confinement: Confinement,
) -> Result<String, String> {
    let folder = tempfile::tempdir().map_err(|error| format!("needs a folder for temporary files: {error}"))?;
    let own = |name: &str| (OsString::from(name), OsString::from(folder.path()));
    let mut env = vec![
        (OsString::from("PATH"), environment::search_path(settings.path.iter())),
        (OsString::from("LANG"), OsString::from("C.UTF-8")),
        own("HOME"),
        own("TMPDIR"),
    ];
    env.extend(["CLAUDE_CONFIG_DIR", "CODEX_HOME", "PI_CODING_AGENT_DIR"].map(own));
    let confinement = confinement.and([folder.path().to_owned()], []);
    let command = AgentCommand { program, args, env, cwd: folder.path().to_owned(), stdin: None, confinement };
    let cannot = |problem: String| format!("cannot be run: {problem}");
    let (mut process, streams) = AgentProcess::spawn(host, &command, &new_session_id()).map_err(cannot)?;
    let (mut stdout, mut stderr) = (streams.stdout.take(ANSWER), streams.stderr.take(ANSWER));
    let (mut answer, mut noise) = (Vec::new(), Vec::new());
    let answered = timeout(PATIENCE, async {
        process.started().await.map_err(cannot)?;
        // The streams end with the process, or with what it has left behind.
        let (out, err) = tokio::join!(stdout.read_to_end(&mut answer), stderr.read_to_end(&mut noise));
        out.and(err).map_err(|error| format!("cannot be read: {error}"))?;
        Ok(process.exited().await)
    })
    .await;
    process.request_end(Duration::ZERO);
    process.gone().await.map_err(|left| format!("leaves processes behind: {left}"))?;
    match answered {
        Ok(Ok(AgentExit::Code(0))) => Ok(String::from_utf8_lossy(&answer).into_owned()),
        Ok(Ok(exit)) => Err(format!("failed: {exit}; {}", String::from_utf8_lossy(&noise).trim())),
        Ok(Err(problem)) => Err(problem),
        Err(_) => Err(format!("gave no answer within {} s", PATIENCE.as_secs())),
    }
}

/// The first word that is a version: of `2.1.330 (Claude Code)`, `codex-cli 0.169.0`, `v1.2.3`.
fn version_in(answer: &str) -> Option<Version> {
    answer
        .split(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | ',' | '"'))
        .find_map(|word| Version::parse(word.strip_prefix('v').unwrap_or(word)).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_in_what_agents_say() {
        for (answer, expected) in [
            ("2.1.330 (Claude Code)\n", Some("2.1.330")),
            ("codex-cli 0.169.0\n", Some("0.169.0")),
            ("WARNING: x\nit v1.2.3-beta.1, built 2026\n", Some("1.2.3-beta.1")),
            ("1.2", None),
            ("", None),
        ] {
            assert_eq!(version_in(answer).map(|it| it.to_string()).as_deref(), expected, "{answer}");
        }
    }
}
