//! Runs an agent's program to find out its version.

use std::{ffi::OsString, time::Duration};

use tokio::io::AsyncReadExt;

use crate::{
    exit::AgentExit,
    external::{
        confinement, environment,
        program::{self, FoundProgram},
    },
    session::{
        id::new_session_id,
        process::{AgentCommand, AgentProcess, HostProgram},
    },
};
use host_clock::timeout;
use host_model::{AgentSettings, Confinement, WrittenVersion, version_in, version_requirement};

/// A program that takes longer to print its version is stuck.
const VERSION_TIMEOUT: Duration = Duration::from_secs(20);
/// How many bytes of its output are read.
const MAX_ANSWER_BYTES: u64 = 16 << 10;

/// A program and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentVersion {
    /// The program.
    pub program: std::path::PathBuf,
    /// The version as printed.
    pub version: String,
}

/// Why a program's version is unknown or does not match.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionProblem {
    /// There is no such program.
    #[error("{0}")]
    NotFound(String),
    /// It printed no version.
    #[error("{program} --version {what}")]
    NoAnswer {
        /// The program.
        program: String,
        /// What it did instead.
        what: String,
    },
    /// The version is not one that the lane requires.
    #[error("{program} has the version {version}, but the lane requires `{requirement}`")]
    NotMet {
        /// The program.
        program: String,
        /// Its version as printed.
        version: String,
        /// The lane's requirement.
        requirement: String,
    },
}

/// Runs the lane's program, by default `name`, with `--version` and compares the version with the one the lane
/// requires.
pub(crate) async fn version(
    name: Option<&str>,
    settings: &AgentSettings,
    host: HostProgram,
    confinement: &Confinement,
) -> Result<AgentVersion, VersionProblem> {
    let found = program::find(name, settings).map_err(VersionProblem::NotFound)?;
    let confinement = confinement::for_program(confinement, settings, &found);
    let FoundProgram { program, executable, leading_args: mut args, .. } = found;
    let shown = program.display().to_string();
    args.push("--version".into());
    let no_answer = |what: String| VersionProblem::NoAnswer { program: shown.clone(), what };
    let output = run_version_command(settings, &host, executable, args, confinement).await.map_err(no_answer)?;
    let WrittenVersion { version, written } =
        version_in(&output).ok_or_else(|| no_answer(format!("printed no version: `{}`", output.trim())))?;
    match settings.version.as_deref() {
        Some(requirement) if !version_requirement(requirement).is_ok_and(|it| it.matches(&version)) => {
            Err(VersionProblem::NotMet { program: shown, version: written, requirement: requirement.to_owned() })
        }
        _ => Ok(AgentVersion { program, version: written }),
    }
}

async fn run_version_command(
    settings: &AgentSettings,
    host: &HostProgram,
    program: std::path::PathBuf,
    args: Vec<OsString>,
    confinement: Confinement,
) -> Result<String, String> {
    let tmp = tempfile::tempdir().map_err(|error| format!("needs a directory for temporary files: {error}"))?;
    let tmp_variable = |name: &str| (OsString::from(name), OsString::from(tmp.path()));
    let mut env = vec![
        (OsString::from("PATH"), environment::search_path(settings.path.iter())),
        (OsString::from("LANG"), OsString::from("C.UTF-8")),
        tmp_variable("HOME"),
        tmp_variable("TMPDIR"),
    ];
    env.extend(["CLAUDE_CONFIG_DIR", "CODEX_HOME", "PI_CODING_AGENT_DIR"].map(tmp_variable));
    let confinement = confinement.and([tmp.path().to_owned()], []);
    let command = AgentCommand { program, args, env, cwd: tmp.path().to_owned(), stdin: None, confinement };
    let cannot = |problem: String| format!("cannot be run: {problem}");
    let (mut process, streams) = AgentProcess::spawn(host, &command, &new_session_id()).map_err(cannot)?;
    let (mut stdout, mut stderr) = (streams.stdout.take(MAX_ANSWER_BYTES), streams.stderr.take(MAX_ANSWER_BYTES));
    let (mut answer, mut stderr_bytes) = (Vec::new(), Vec::new());
    let result = timeout(VERSION_TIMEOUT, async {
        process.wait_started().await.map_err(cannot)?;
        // The streams end with the process, or with processes it left behind.
        let (out, err) = tokio::join!(stdout.read_to_end(&mut answer), stderr.read_to_end(&mut stderr_bytes));
        out.and(err).map_err(|error| format!("cannot be read: {error}"))?;
        Ok(process.wait_exit().await)
    })
    .await;
    process.request_end(Duration::ZERO);
    process.wait_gone().await.map_err(|left| format!("leaves processes behind: {left}"))?;
    match result {
        // Some programs print it to stderr.
        Ok(Ok(AgentExit::Code(0))) => {
            let [answer, stderr_bytes] =
                [answer, stderr_bytes].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            Ok(if version_in(&answer).is_none() && version_in(&stderr_bytes).is_some() { stderr_bytes } else { answer })
        }
        Ok(Ok(exit)) => Err(format!("failed: {exit}; {}", String::from_utf8_lossy(&stderr_bytes).trim())),
        Ok(Err(problem)) => Err(problem),
        Err(_) => Err(format!("did not finish within {} s", VERSION_TIMEOUT.as_secs())),
    }
}
