use std::collections::BTreeSet;

use super::*;

const ALL: [Language; 5] = [Language::Rust, Language::C, Language::Go, Language::Js, Language::Python];

/// Folders that tools make beside the files of the repository.
const MADE: &[&str] = &["target", "build", "node_modules", "__pycache__", ".venv", ".host"];

fn in_repository(folder: &str) -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins").join(folder);
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
    assert_eq!(write(&folder, "s", Language::Go).unwrap_err().kind(), io::ErrorKind::DirectoryNotEmpty);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    fs::remove_file(folder.join("mine")).unwrap();
    write(&folder, "s", Language::Go).unwrap();
    assert!(folder.join("scenarios/s/scenario.toml").is_file());
    assert_eq!(fs::read_dir(here.path()).unwrap().count(), 1, "something was left behind");
}

#[test]
fn a_folder_with_nothing_but_version_control_is_filled() {
    let here = tempfile::tempdir().unwrap();
    let folder = here.path().join("s");
    fs::create_dir_all(folder.join(".git/objects")).unwrap();
    fs::write(folder.join(".gitattributes"), "x").unwrap();
    write(&folder.join("."), "s", Language::Go).unwrap();
    assert!(folder.join("scenarios/s/scenario.toml").is_file() && folder.join(".git/objects").is_dir());
    let left = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().starts_with(".new-")), "something was left behind");
}

#[test]
fn a_failed_move_leaves_the_folder_empty() {
    let here = tempfile::tempdir().unwrap();
    let (folder, complete) = (here.path().join("s"), here.path().join("complete"));
    for path in ["complete/a", "complete/b", "s/a/in-the-way", "s/b/in-the-way"] {
        fs::create_dir_all(here.path().join(path)).unwrap();
    }
    fs::remove_dir_all(folder.join("a")).unwrap();
    fill(&folder, &complete).unwrap_err();
    assert!(!folder.join("a").exists() && complete.join("a").is_dir());
}

#[test]
fn the_change_of_folder_is_quoted_for_a_shell() {
    for (folder, line) in [
        (".", ""),
        ("./", ""),
        ("first", "  cd first\n"),
        ("./a/b-c_d.e/", "  cd ./a/b-c_d.e/\n"),
        ("../über", "  cd ../über\n"),
        ("a b", "  cd 'a b'\n"),
        ("$HOME", "  cd '$HOME'\n"),
        ("it's", "  cd 'it'\\''s'\n"),
        ("-x", "  cd ./-x\n"),
        ("~", "  cd '~'\n"),
    ] {
        assert_eq!(change_to(Path::new(folder)), line, "{folder}");
    }
}

#[test]
fn a_name_that_a_file_of_the_template_has_is_taken() {
    assert_eq!(taken("suite.toml", Language::C).as_deref(), Some("scenarios/suite.toml"));
    assert!(taken("Suite.TOML", Language::C).is_some());
    for name in ["suite", "scenario", "plugin", "sdk", "core", "test", "3cycles", "a.b", "scenario-name"] {
        for language in ALL {
            assert_eq!(taken(name, language), None, "{name}");
        }
    }
}

#[test]
fn the_rust_template_is_built_with_the_versions_of_the_sdk_here() {
    let of = |path: &str| {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins").join(path)).unwrap();
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
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    let template = read("plugins/templates/js/package.json");
    assert_eq!(template["devDependencies"], read(".ci/languages/package.json")["dependencies"]);
}
