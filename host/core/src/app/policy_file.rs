//! Where the policy file is: it does not bind anyone who can change it.

use std::path::{Path, PathBuf};

use host_suite::config::{Settings, seen_from_here};

/// A warning if the policy is in the repository that it is for.
pub(super) fn within_repository(settings: &Settings) -> Option<String> {
    let policy = &settings.caps.as_ref()?.path;
    let suite = settings.suite.as_deref().and_then(Path::parent).unwrap_or(&settings.base);
    is_within(policy, suite, &settings.base)?.then(|| {
        format!(
            "the policy {} is in the repository of the suite: anyone who can change the scenarios can change it too\n\
             help: store it elsewhere, or read it from a protected branch (`git show origin/main:FILE > ELSEWHERE`)",
            seen_from_here(policy)
        )
    })
}

/// Whether a policy is in the repository of a suite, or in the one around the folder of the suite: a suite can have a `.git`
/// of its own, which would hide that one.
fn is_within(policy: &Path, suite: &Path, base: &Path) -> Option<bool> {
    // The folder of its name, and the target of a link: either could be changed.
    let named = policy.parent()?.canonicalize().ok()?;
    let leads = policy.canonicalize().ok()?;
    let around = [suite, base].map(|folder| repository(folder).unwrap_or_else(|| base.to_owned()));
    let within = |around: &PathBuf| {
        around.canonicalize().is_ok_and(|around| named.starts_with(&around) || leads.starts_with(&around))
    };
    Some(around.iter().any(within))
}

/// The repository around `folder`.
fn repository(folder: &Path) -> Option<PathBuf> {
    let folder = folder.canonicalize().ok()?;
    folder.ancestors().find(|folder| folder.join(".git").exists()).map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_repository_in_a_suite_hides_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["repo/.git", "repo/scenarios", "elsewhere"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        for name in ["repo/policy.toml", "repo/scenarios/policy.toml", "elsewhere/policy.toml"] {
            fs::write(at(name), "").unwrap();
        }
        let lies = |policy: &str| is_within(&at(policy), &at("repo/scenarios"), &at("repo")).unwrap();
        for _ in 0..2 {
            assert!(lies("repo/policy.toml") && lies("repo/scenarios/policy.toml") && !lies("elsewhere/policy.toml"));
            let _ = fs::create_dir(at("repo/scenarios/.git"));
        }
    }
}
