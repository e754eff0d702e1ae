//! `--policy`, and where the file lies: it binds nobody who can change it.

use std::path::{Path, PathBuf};

use clap::Args;

use super::given::Given;
use crate::config::{Settings, Sourced, seen_from_here};

/// What scenarios may be given at most.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct CapsArgs {
    /// Give scenarios no more than this file allows; keep it where who writes them cannot change it [default: what they
    /// ask for]
    #[arg(long, value_name = "FILE", env = "HOST_POLICY")]
    pub(super) policy: Option<PathBuf>,
}

impl CapsArgs {
    /// The file, with who names it.
    pub(super) fn sourced(&self, given: &Given) -> Option<Sourced<PathBuf>> {
        given.sourced("policy", self.policy.clone())
    }
}

/// What is wrong with the place of the policy, if anything is.
pub(super) fn within_repository(settings: &Settings) -> Option<String> {
    let policy = &settings.caps.as_ref()?.path;
    let base = settings.suite.as_deref().and_then(Path::parent).unwrap_or(&settings.base);
    let repository = repository(base).unwrap_or_else(|| settings.base.clone());
    let around = repository.canonicalize().ok()?;
    // Where its name lies, and where a link of that name leads: either could be changed.
    let named = policy.parent()?.canonicalize().ok()?;
    let leads = policy.canonicalize().ok()?;
    (named.starts_with(&around) || leads.starts_with(&around)).then(|| {
        format!(
            "the policy {} lies in the repository that it is for: who changes the scenarios can change it too; keep it \
             elsewhere, or take it from a branch that they cannot write to (`git show origin/main:FILE > ELSEWHERE`)",
            seen_from_here(policy)
        )
    })
}

/// The repository around `folder`.
fn repository(folder: &Path) -> Option<PathBuf> {
    let folder = folder.canonicalize().ok()?;
    folder.ancestors().find(|folder| folder.join(".git").exists()).map(Path::to_owned)
}
