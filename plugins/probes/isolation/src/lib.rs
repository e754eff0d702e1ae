//! `isolation`: leaves a mark that no other attempt has in root and config dir, and looks for marks of others.

use std::{
    collections::BTreeSet,
    fs,
    hash::{BuildHasher, RandomState},
    path::Path,
    thread,
    time::Duration,
};

use scenario_sdk::{Findings, Outcome, Scenario, require};

/// The scenario.
pub const ISOLATION: Scenario = Scenario::new("isolation", "Finds nothing but what it wrote itself.", run);

scenario_sdk::plugin![ISOLATION];

/// What the component is given to write to.
const GIVEN: &[&str] = &["/", "/host/config"];
/// Every attempt uses this name, so that two in one directory overwrite each other.
const SHARED_NAME: &str = "everyone";

fn run() -> Outcome {
    // Seeded by the system's random numbers.
    let token = format!("{:016x}{:016x}", RandomState::new().hash_one(1), RandomState::new().hash_one(2));
    for folder in GIVEN {
        let folder = Path::new(folder);
        fs::create_dir_all(folder.join("inner").join(&token)).expect("a folder of its own");
        fs::write(folder.join("inner").join(&token).join("mark"), &token).expect("a file of its own");
        fs::write(folder.join(SHARED_NAME), &token).expect("a file of its own");
    }
    // The others that run at the same time write meanwhile.
    thread::sleep(Duration::from_millis(50));
    let mut findings = Findings::new();
    for folder in GIVEN {
        let found = paths(Path::new(folder), Path::new(""));
        let wanted: BTreeSet<String> =
            ["everyone", "inner", &format!("inner/{token}"), &format!("inner/{token}/mark")].map(String::from).into();
        findings.check("stranger", require(found == wanted, || format!("{folder} holds {found:?}, not {wanted:?}")));
        let shared = fs::read_to_string(Path::new(folder).join(SHARED_NAME)).unwrap_or_default();
        findings.check("overwritten", require(shared == token, || format!("{folder} holds the mark {shared}")));
    }
    Ok(findings.verdict())
}

/// Every path below `base`, relative to it.
fn paths(base: &Path, folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(base.join(folder)).expect("a folder").flatten() {
        let path = folder.join(entry.file_name());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(paths(base, &path));
        }
        found.insert(path.to_string_lossy().into_owned());
    }
    found
}
