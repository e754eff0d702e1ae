use std::collections::BTreeSet;

use super::*;

const ALL: [Language; 5] = [Language::Rust, Language::C, Language::Go, Language::Js, Language::Python];

/// Folders that tools make beside the files of the repository.
const MADE: &[&str] = &["target", "build", "node_modules", "__pycache__", ".venv", ".host"];

fn in_repository(folder: &str) -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins").join(folder);
    let mut found = BTreeSet::new();
    let mut waiting = vec![root.clone()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                waiting.extend((!MADE.contains(&name)).then_some(path));
            } else {
                found.insert(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found
}

#[test]
fn every_file_of_a_template_is_written() {
    for language in ALL {
        for set in files::sets(language).into_iter().filter(|set| !set.folder.is_empty()) {
            let written: BTreeSet<String> = set.files.iter().map(|(path, _)| (*path).to_owned()).collect();
            assert_eq!(written, in_repository(set.folder), "{}", set.folder);
        }
    }
}

#[test]
fn no_two_files_have_one_place_and_all_carry_the_name() {
    for language in ALL {
        let paths: Vec<String> = all(language).map(|(path, _)| path).collect();
        assert_eq!(paths.iter().collect::<BTreeSet<_>>().len(), paths.len());
        let readme = all(language).find(|(path, _)| path == "README.md").unwrap().1;
        for line in files::commands(language).lines() {
            assert!(readme.contains(line.trim_start()), "the README of {language:?} lacks `{line}`");
        }
        assert!(readme.contains(PLACEHOLDER));
    }
}

#[test]
fn an_existing_folder_stays_as_it_is() {
    let here = tempfile::tempdir().unwrap();
    let folder = here.path().join("s");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("mine"), "x").unwrap();
    assert_eq!(write(&folder, "s", Language::Go).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    fs::remove_file(folder.join("mine")).unwrap();
    write(&folder, "s", Language::Go).unwrap();
    assert!(folder.join("scenarios/s/scenario.toml").is_file());
    assert_eq!(fs::read_dir(here.path()).unwrap().count(), 1, "something was left behind");
}

#[test]
fn the_rust_template_is_built_with_the_versions_of_the_sdk_here() {
    let of = |path: &str| {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins").join(path)).unwrap();
        let manifest: toml::Table = text.parse().unwrap();
        (manifest["workspace"]["dependencies"].as_table().unwrap().clone(), manifest["profile"].clone())
    };
    let (own, profile) = of("templates/rust/plugin/Cargo.toml");
    let (here, profile_here) = of("Cargo.toml");
    for (name, version) in &own {
        assert_eq!(Some(version), here.get(name), "{name}");
    }
    assert_eq!(profile, profile_here);
}

#[test]
fn the_javascript_template_is_built_with_the_versions_that_are_tested() {
    let read = |path: &str| {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    let template = read("plugins/templates/js/package.json");
    assert_eq!(template["devDependencies"], read(".ci/languages/package.json")["dependencies"]);
}
