//! The files an agent's program needs in addition to those its lane lists.

use std::path::{Path, PathBuf};

use crate::external::program::FoundProgram;
use host_model::{AgentSettings, Confinement};

/// Extends a lane's confinement with the program `found`: the program itself, its interpreters, the directories of the
/// lane's `path`, and the packages a Node script loads.
pub(super) fn for_program(confinement: &Confinement, settings: &AgentSettings, found: &FoundProgram) -> Confinement {
    let own = found.files.iter().flat_map(|path| std::iter::once(path.clone()).chain(packages(path)));
    // A missing directory in `path` is not an error; it is skipped during the search.
    let path = settings.path.iter().filter(|dir| dir.exists()).cloned();
    let readable: Vec<PathBuf> = own.chain(path).collect();
    confinement.clone().and([], readable)
}

/// The outermost `node_modules` directory of a program after resolving links: scripts load packages next to their own.
fn packages(program: &Path) -> Option<PathBuf> {
    let program = program.canonicalize().ok()?;
    program.ancestors().filter(|dir| dir.ends_with("node_modules")).last().map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;
    use host_model::LaneKind;

    #[test]
    fn a_script_may_only_load_its_packages() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().canonicalize().unwrap().join(name);
        fs::create_dir_all(at("node_modules/pi/node_modules/deep")).unwrap();
        fs::create_dir(at("bin")).unwrap();
        fs::write(at("node_modules/pi/node_modules/deep/cli.js"), "").unwrap();
        symlink(at("node_modules/pi/node_modules/deep/cli.js"), at("bin/pi")).unwrap();
        let found = FoundProgram {
            program: at("bin/pi"),
            executable: "/usr/bin/env".into(),
            leading_args: vec![at("bin/pi").into()],
            files: vec!["/usr/bin/env".into(), at("bin/pi")],
            scripts: Vec::new(),
        };
        let mut settings = AgentSettings::new(LaneKind::Pi);
        settings.path = vec![at("bin"), "/nowhere".into()];
        let confinement = for_program(&Confinement::default(), &settings, &found);
        let expected = ["/usr/bin/env".into(), at("bin/pi"), at("node_modules"), at("bin")];
        assert_eq!(confinement.readable, expected);
        assert_eq!(confinement.writable, [""; 0].map(PathBuf::from));
    }
}
